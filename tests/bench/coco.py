"""COCO's captions, all 616,767 of them, which pycocoevalcap's wheel brings along; and Karpathy's JSON made of them.

    python -m tests.bench.coco IDS dataset_coco.json

IDS is a folder with ``karpathy_{train,val,test}_ids.txt``, COCO's ids of each split, one a line. Who has Karpathy's own
``dataset_coco.json`` needs none of this. The words are those of ``rdt.data.sentences.tokenize`` and the images of
a split come in the order of its ids, while Karpathy's file has its own tokens and its own order.
"""

from __future__ import annotations

import itertools
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdt.data.coco import References, references_by_image
from rdt.data.sentences import tokenize
from rdt.files import atomic_write_text
from rdt.metrics.java import JARS

YEARS = ("train2014", "val2014")
SPLITS = ("train", "val", "test")


def captions(year: str) -> References:
    """The captions of COCO's ``train2014`` or ``val2014``, by image."""
    with zipfile.ZipFile(JARS / "spice" / "spice-1.0.jar") as jar:
        document = json.loads(jar.read(f"coco/annotations/captions_{year}.json"))
    return references_by_image(document, year)


def karpathy(ids: Path) -> dict[str, Any]:
    """COCO's captions in the format of ``dataset_coco.json``, for the splits whose ids lie in a folder."""
    folders = {image: (year, texts) for year in YEARS for image, texts in captions(year).captions.items()}
    return {"images": list(_entries(ids, folders)), "dataset": "coco"}


def _entries(ids: Path, folders: dict[int, tuple[str, list[str]]]) -> Iterator[dict[str, Any]]:
    imgids, sentids = itertools.count(), itertools.count()
    for split in SPLITS:
        for cocoid in map(int, (ids / f"karpathy_{split}_ids.txt").read_text().split()):
            (year, texts), imgid = folders[cocoid], next(imgids)
            sentences = [
                {"tokens": list(tokenize(raw)), "raw": raw, "imgid": imgid, "sentid": next(sentids)} for raw in texts
            ]
            yield {
                "filepath": year,
                "sentids": [sentence["sentid"] for sentence in sentences],
                "filename": f"COCO_{year}_{cocoid:012}.jpg",
                "imgid": imgid,
                "split": "restval" if (split, year) == ("train", "val2014") else split,
                "sentences": sentences,
                "cocoid": cocoid,
            }


if __name__ == "__main__":
    atomic_write_text(sys.argv[2], json.dumps(karpathy(Path(sys.argv[1]))))
