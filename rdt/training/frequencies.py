"""Document frequencies of a train split: counted once, then read from the experiment's cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rdt.data.tokens import sentence
from rdt.errors import UserError
from rdt.experiment.runs import settings_digest
from rdt.features.split import Split
from rdt.files import atomic_file, read_arrays
from rdt.metrics.ciderd import DocumentFrequency
from rdt.metrics.ngrams import ORDERS

ARRAYS = ("identity", "images", "ngrams", "counts")


def train_frequencies(split: Split, vocabulary: str, cache: Path) -> DocumentFrequency:
    """In how many images of ``split`` each n-gram of word ids occurs, of those that occur in several.

    ``vocabulary`` is the digest of the one that the ids are of. The file in ``cache`` is named by what was counted.
    """
    identity = {"vocabulary": vocabulary, "captions": captions_digest(split)}
    path = cache / "frequencies" / f"{settings_digest(identity)}.npz"
    if not path.exists():
        references = ([sentence(row) for row in rows] for rows in split.captions)
        save_frequencies(path, DocumentFrequency.from_references(references).repeated(), identity)
    return load_frequencies(path, identity)


def captions_digest(split: Split) -> str:
    """SHA-256 (hex) of the token rows of a split, image by image."""
    rows = hashlib.sha256(np.array([len(rows) for rows in split.captions], np.int64).tobytes())
    rows.update(np.concatenate(split.captions).tobytes())
    return rows.hexdigest()


def save_frequencies(path: Path, df: DocumentFrequency, identity: Mapping[str, str]) -> None:
    """Write the frequencies of n-grams of ids, with the digests of what they were counted in."""
    padded = [(*ngram, *(-1,) * (ORDERS - len(ngram))) for ngram in df.counts]
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            identity=json.dumps(dict(identity)),
            images=df.images,
            ngrams=np.array(padded, np.int32).reshape(-1, ORDERS),
            counts=np.fromiter(df.counts.values(), np.int32, len(df.counts)),
        )


def load_frequencies(path: Path, identity: Mapping[str, str]) -> DocumentFrequency:
    """What :func:`save_frequencies` wrote. Raises UserError if it is damaged or was counted in something else."""
    remedy = f"delete {path}; the next training makes it again"
    arrays = read_arrays(path, ARRAYS, remedy)
    found = json.loads(str(arrays["identity"]))
    for key, value in identity.items():
        if found.get(key) != value:
            raise UserError(path, f"document frequencies of other {key} ({found.get(key)}, expected {value})", remedy)
    ngrams, counts = arrays["ngrams"], arrays["counts"]
    ids = np.arange(ngrams.max(initial=0) + 1).astype(object)  # one object for each id, whatever n-gram it is in
    lengths = (ngrams >= 0).sum(axis=1)
    frequencies: dict[tuple[int, ...], int] = {}
    for order in range(1, ORDERS + 1):
        chosen = lengths == order
        columns = ids[ngrams[chosen, :order].T].tolist()
        frequencies.update(zip(zip(*columns, strict=True), counts[chosen].tolist(), strict=True))
    return DocumentFrequency(frequencies, int(arrays["images"]))
