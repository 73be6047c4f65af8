"""What COCO's size asks of one machine: a feature store of 20 GB, 566,747 captions to retrieve from and to count.

    python -m tests.bench.bench_scale                        # a store of 2 GB and 2,000 queries
    python -m tests.bench.bench_scale --gigabytes 20 --queries 10000 --folder /somewhere/on/a/disk

Each part runs in a process of its own, whose largest resident set is printed, and there in turn with its peer: raw
reads of the same bytes in the same order; matrix products; pycocoevalcap. Exits with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pycocoevalcap.cider.cider_scorer import CiderScorer

from rdt.data.sentences import tokenize
from rdt.data.tokens import sentence, token_row
from rdt.data.vocabulary import build_vocabulary
from rdt.features.retrieval import Pool, Retrieved, retrieve, unit
from rdt.features.split import Split
from rdt.features.store import GRID_CELLS, FeatureStore, StoreWriter
from rdt.metrics.ciderd import DocumentFrequency
from rdt.training.frequencies import train_frequencies
from tests.bench import coco
from tests.bench.bench_core import verdict

TRAIN_IMAGES, TRAIN_CAPTIONS = 113_287, 566_747
STORE_BAR, STORE_MEMORY = 0.90, 2.0  # of the rate of raw reads; GB
INDEX_BAR, INDEX_MEMORY = 0.60, 4.0  # of the rate of matrix products; GB
COUNT_SECONDS, COUNT_MEMORY, LOAD_SECONDS = 60.0, 2.0, 3.0
COUNT_BAR = 1.0  # times as fast as pycocoevalcap
BATCH, BLOCK, DIM, TOP = 16, 32, 512, 20
QUERIES_AT_ONCE, SQUARE = 2000, 4096


def peak_gigabytes() -> float:
    """The largest resident set of this process so far, in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def within(label: str, value: float, bar: float, unit: str) -> bool:
    met = value <= bar
    print(f"  {label}: {value:.2f} {unit} (bar: at most {bar:g} {unit}) {'ok' if met else 'MISSED'}")
    return met


def at_least(label: str, share: float, bar: float) -> bool:
    met = share >= bar
    print(f"  {label}: {share:.0%} (bar: at least {bar:.0%}) {'ok' if met else 'MISSED'}")
    return met


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def processor_seconds(run: Callable[[], object]) -> float:
    """Of all threads together."""
    start = time.process_time()
    run()
    return time.process_time() - start


# ---- features


def make_store(folder: Path, gigabytes: float) -> None:
    """A store of random half-precision grids, 200 kB an image."""
    images = max(BATCH, int(gigabytes * 1e9) // (GRID_CELLS * 2048 * 2))
    writer = StoreWriter(folder, list(range(images)), [], 2048, DIM)
    block = np.random.default_rng(0).random((1024, GRID_CELLS, 2048), dtype=np.float32).astype(np.float16)
    for first in range(0, images, len(block)):
        writer.grid[first : first + len(block)] = block[: images - first]
    writer.flush()


def forget(path: Path) -> None:
    """Drop a file from the page cache, so that the next read is from the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bench_store(folder: Path) -> bool:
    """The store in random batches against reads of the same rows, block by block in turn, each from the disk.

    ``plain`` reads one row after the other; ``asked ahead`` tells the disk the rows of a batch first.
    """
    path = folder / "grid.npy"
    store = FeatureStore.open(folder)
    size, offset = store.grid[0].nbytes, store.grid.offset
    file = os.open(path, os.O_RDONLY)
    order = np.random.default_rng(1).permutation(len(store.grid))
    batches = [order[first : first + BATCH] for first in range(0, len(order) // BATCH * BATCH, BATCH)]
    buffer = np.empty((BATCH, *store.grid.shape[1:]), np.float16)

    def plain(rows: np.ndarray) -> None:
        for at, row in enumerate(rows):
            assert os.preadv(file, [buffer[at]], offset + int(row) * size) == size

    def ahead(rows: np.ndarray) -> None:
        for row in rows:
            os.posix_fadvise(file, offset + int(row) * size, size, os.POSIX_FADV_WILLNEED)
        plain(rows)

    plain(batches[0])
    assert np.array_equal(store.grids(batches[0]), buffer)
    contenders = {"plain reads": plain, "reads asked ahead": ahead, "store": store.grids}
    spent = dict.fromkeys(contenders, 0.0)
    for turn, first in enumerate(range(0, len(batches), BLOCK)):
        names = list(contenders)[turn % 3 :] + list(contenders)[: turn % 3]
        for name in names:
            forget(path)
            for rows in batches[first : first + BLOCK]:
                spent[name] += seconds(lambda name=name, rows=rows: contenders[name](rows))
    total = len(batches) * BATCH * size
    print(f"Feature store, {total / 1e9:.1f} GB in random batches of {BATCH} images, none of it in the page cache")
    print("  " + ", ".join(f"{name} {total / spent[name] / 1e6:,.0f} MB/s" for name in contenders))
    fast = at_least("rate of plain reads", spent["plain reads"] / spent["store"], STORE_BAR)
    return within("memory", peak_gigabytes(), STORE_MEMORY, "GB") and fast


# ---- index


def bench_index(queries: int) -> bool:
    """Exact top-20 in as many random vectors as COCO has train captions, against square matrix products.

    Both in seconds of the processor, in turn: on a busy machine the clock says how busy it is.
    """
    rng = np.random.default_rng(0)
    pool = Pool(
        tuple(map(str, range(TRAIN_CAPTIONS))),
        unit(rng.standard_normal((TRAIN_CAPTIONS, DIM), dtype=np.float32)),
        (frozenset(),) * TRAIN_CAPTIONS,
    )
    images = rng.standard_normal((queries, DIM), dtype=np.float32)
    square = rng.standard_normal((2, SQUARE, SQUARE), dtype=np.float32)
    rates: dict[str, list[float]] = {"search": [], "product": []}
    started = time.perf_counter()
    for part in np.array_split(images, max(1, queries // QUERIES_AT_ONCE)):
        found: list[Retrieved] = []
        spent = processor_seconds(lambda part=part, found=found: found.append(search(pool, part)))
        rates["search"].append(2 * len(part) * TRAIN_CAPTIONS * DIM / spent / 1e9)
        rates["product"].append(2 * SQUARE**3 / processor_seconds(lambda: np.matmul(*square)) / 1e9)
        check_exact(unit(part[:3]), pool.vectors, found[0].rows[:3])
    passed = time.perf_counter() - started
    print(f"Index, exact top-{TOP} of {queries:,} queries in {TRAIN_CAPTIONS:,} x {DIM} random float32: {passed:.0f} s")
    print("  medians: " + ", ".join(f"{name} {median(rate):.0f} GFLOP/s of a core" for name, rate in rates.items()))
    share = median(s / p for s, p in zip(rates["search"], rates["product"], strict=True))
    fast = at_least("rate of matrix products", share, INDEX_BAR)
    return within("memory", peak_gigabytes(), INDEX_MEMORY, "GB") and fast


def search(pool: Pool, images: np.ndarray) -> Retrieved:
    return retrieve(pool, images, range(len(images)), TOP, exclude_own=False)


def check_exact(queries: np.ndarray, vectors: np.ndarray, rows: np.ndarray) -> None:
    """No other row is nearer than those found."""
    for query, found in zip(queries, rows, strict=True):
        cosine = vectors @ query
        assert len(set(found)) == TOP and np.sort(cosine)[-TOP] <= cosine[found].min() + 1e-6


# ---- document frequencies


def make_rows(file: Path) -> None:
    """Token rows of the first captions of COCO, as many images as Karpathy's train split has."""
    texts = itertools.chain.from_iterable(coco.captions(year).captions.values() for year in coco.YEARS)
    captions = [[tokenize(raw) for raw in image] for image in itertools.islice(texts, TRAIN_IMAGES)]
    vocabulary = build_vocabulary(itertools.chain.from_iterable(captions), 5)
    rows = [token_row(vocabulary.encode(tokens), 20) for tokens in itertools.chain.from_iterable(captions)]
    np.savez(file, rows=np.stack(rows), first=np.cumsum([len(image) for image in captions])[:-1])


def bench_frequencies(file: Path) -> bool:
    """Counting document frequencies and loading them again, against pycocoevalcap on a tenth of the images.

    In seconds of the processor, as the index.
    """
    with np.load(file) as arrays:
        rows = tuple(np.split(arrays["rows"], arrays["first"]))
    nothing = np.zeros(0, np.int64)
    split = Split(np.arange(len(rows)), None, nothing, rows, nothing)
    with tempfile.TemporaryDirectory() as folder:
        counted = processor_seconds(lambda: train_frequencies(split, "words", Path(folder)))
        memory = peak_gigabytes()
        loaded = processor_seconds(lambda: train_frequencies(split, "words", Path(folder)))
    print(f"Document frequencies of {sum(map(len, rows)):,} captions of {len(rows):,} images")
    met = [
        within("counted, written and loaded", counted, COUNT_SECONDS, "s"),
        within("memory", memory, COUNT_MEMORY, "GB"),
        within("loaded from the cache", loaded, LOAD_SECONDS, "s"),
    ]
    references = [[sentence(row) for row in image] for image in rows[::10]]
    texts = [[" ".join(map(str, caption)) for caption in image] for image in references]
    found: list[Mapping[Any, int]] = []
    ours = processor_seconds(lambda: found.append(DocumentFrequency.from_references(references).counts))
    theirs = processor_seconds(lambda: found.append(pycocoevalcap(texts)))
    assert {tuple(map(str, ngram)): count for ngram, count in found[0].items()} == dict(found[1])
    return verdict("faster than pycocoevalcap, same counts", theirs / ours, COUNT_BAR, at_least=True) and all(met)


def pycocoevalcap(texts: Sequence[Sequence[str]]) -> Mapping[Any, int]:
    """Its document frequencies of the references of some images."""
    scorer = CiderScorer()
    for captions in texts:
        scorer.cook_append(None, captions)
    scorer.compute_doc_freq()
    return scorer.document_frequency


# ---- all of it


def alone(part: Callable[..., bool | None], *arguments: object) -> bool:
    """Run one part in a process of its own, so that its memory is its own; whether it met its bars."""
    process = multiprocessing.get_context("spawn").Process(target=_exit, args=(part, *arguments))
    process.start()
    process.join()
    return process.exitcode == 0


def _exit(part: Callable[..., bool | None], *arguments: object) -> None:
    sys.exit(part(*arguments) is False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the feature store (default: 2)")
    parser.add_argument("--queries", type=int, default=2000, help="searched in the index (default: 2000)")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured (default: the temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        ready = alone(make_store, folder, args.gigabytes) and alone(make_rows, folder / "rows.npz")
        parts = [(bench_store, folder), (bench_frequencies, folder / "rows.npz")]
        met = [ready and alone(*part) for part in parts]
    met.append(alone(bench_index, args.queries))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
