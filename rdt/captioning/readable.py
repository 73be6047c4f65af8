"""Whether an experiment's own data can be read: what the commands after `rdt check` would refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rdt.captioning.given import captions_of_all
from rdt.data.coco import read_document, results_by_image
from rdt.data.dataset import Dataset, load_role, require_photographs
from rdt.data.vocabulary import build_vocabulary
from rdt.experiment.settings import Data, Experiment, pool_role
from rdt.features.imported import IMAGES_TO_JUDGE, Published, PublishedFiles


def read_own_data(experiment: Experiment) -> list[str]:
    """Read what the roles and the rows of an experiment name; a line on each.

    Features of up to a thousand images are read, the others looked for. Raises UserError where a command would.
    """
    root = Path(experiment.data_root)
    datasets = {
        role: load_role(role, data, Path(), root) for role, data in experiment.data.items() if data.source != "scenes"
    }
    lines = []
    for role, dataset in datasets.items():
        if pool_role(role) == role:
            train = (caption.tokens for image in dataset.split("train") for caption in image.captions)
            build_vocabulary(train, experiment.method.min_count)
        _find_features(dataset, experiment.data[role], root)
        lines += [f"{role}: {_described(dataset)}", *(f"note: {note}" for note in dataset.notes)]
    return [*lines, *_read_rows(experiment, datasets)]


def _find_features(dataset: Dataset, data: Data, root: Path) -> None:
    if data.features:
        _read_some(PublishedFiles(Published.of(data, root), dataset.images), dataset)
    else:
        require_photographs(dataset)


def _read_some(files: PublishedFiles, dataset: Dataset) -> None:
    """Read the features of all images, or of some where there are many."""
    count = len(dataset.images)
    dims = tuple(array.shape[1] for array in files.image(0))
    dim = files.query(0).shape[1] if files.has_query else dims[1]
    for at in range(0, count, -(-count // IMAGES_TO_JUDGE)):
        files.image(at, dims)
        files.captions(at, dataset.images[at], dim)
        if files.has_query:
            files.query(at, dim)


def _described(dataset: Dataset) -> str:
    """Images by split, and what their ids are."""
    splits = Counter(image.split for image in dataset.images)
    ids = "ids are whole numbers" if dataset.images[0].place is None else f"ids such as {dataset.images[0].id}"
    return f"{len(dataset.images):,} images ({', '.join(f'{name} {n:,}' for name, n in splits.items())}), {ids}"


def _read_rows(experiment: Experiment, datasets: dict[str, Dataset]) -> Iterator[str]:
    """What the results of rows say; of scenes, which are made later, the images are not known."""
    for table, rows in experiment.extra_rows.items():
        for row in rows:
            for key, name in row.captions.items():
                role, _, split = key.rpartition("/")
                path, dataset = Path(experiment.data_root) / name, datasets.get(role or "primary")
                if dataset is None:
                    captions, notes = results_by_image(read_document(path), path), ()
                else:
                    of = f"{role or 'primary'}/{split}"
                    captions, notes = captions_of_all(path, dataset.split(split), of)
                yield f"Table {table}, {row.row}: {len(captions):,} captions in {path}"
                yield from (f"note: {note}" for note in notes)
