"""The public data sets of the paper: what their files are called, how large they are and where they come from.

Counts of images are exact; sizes are the offered files', rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from rdt.experiment.settings import Data

KARPATHY = (
    "curl -LO https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
    " && unzip -d {root} caption_datasets.zip {name}  # 37 MB"
)


@dataclass(frozen=True)
class PublicSet:
    """A data set by its annotation file, of ``size`` bytes; ``splits``: images by split of ours.

    ``fetch`` is the command, or the instruction, that brings the annotations ``{name}`` to the folder ``{root}``;
    ``photographs`` brings the images, ``photo_size`` bytes, to ``{folder}``.
    """

    splits: dict[str, int]
    captions: int
    size: int
    fetch: str
    photo_size: int
    photographs: str

    @property
    def images(self) -> int:
        return sum(self.splits.values())


PUBLIC = {
    "dataset_coco.json": PublicSet(
        splits={"train": 113_287, "val": 5_000, "test": 5_000},
        captions=616_767,
        size=144_000_000,
        fetch=KARPATHY,
        photo_size=20_000_000_000,
        photographs="for zip in train2014 val2014; do curl -LO http://images.cocodataset.org/zips/$zip.zip"
        " && unzip -q -d {folder} $zip.zip; done  # 13 GB and 6 GB",
    ),
    "dataset_flickr30k.json": PublicSet(
        splits={"train": 29_000, "val": 1_014, "test": 1_000},
        captions=155_070,
        size=37_000_000,
        fetch=KARPATHY,
        photo_size=4_400_000_000,
        photographs="unpack flickr30k-images.tar (4.4 GB) to {folder}: "
        "ask for it at https://shannon.cs.illinois.edu/DenotationGraph/",
    ),
    "nocaps_val_4500_captions.json": PublicSet(
        splits={"test": 4_500},
        captions=45_000,
        size=7_000_000,
        fetch="curl -L --create-dirs --output-dir {root} -O https://nocaps.s3.amazonaws.com/{name}  # 7 MB",
        photo_size=1_500_000_000,
        photographs="python -c \"import json; [print(i['coco_url'])"
        " for i in json.load(open('{root}/{name}'))['images']]\""
        " | xargs curl -L --create-dirs --output-dir {folder} --remote-name-all  # 1.5 GB",
    ),
    "dataset_flickr8k.json": PublicSet(
        splits={"train": 6_000, "val": 1_000, "test": 1_000},
        captions=40_000,
        size=9_000_000,
        fetch=KARPATHY,
        photo_size=1_100_000_000,
        photographs="unpack Flickr8k_Dataset.zip (1.1 GB) to {folder}",
    ),
}


def public_set(data: Data) -> PublicSet | None:
    """The public data set whose annotations a role names, None for others."""
    return PUBLIC.get(PurePosixPath(data.annotation_files[0]).name)
