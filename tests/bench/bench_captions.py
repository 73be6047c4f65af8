"""Captions per CPU-second at the sizes of the scenes, against the matrix products that they consist of.

    OMP_NUM_THREADS=1 python -m tests.bench.bench_captions

Exits with 1 if the bar is missed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import numpy as np
import torch

from rdt.captioning.generate import Sampling, denoise_captions, sentence_ranks
from rdt.experiment.file import load_experiment
from rdt.experiment.network_work import NetworkWork, RoleSizes
from rdt.experiment.settings import GRID_CELLS
from rdt.features.split import Split
from rdt.features.store import FeatureStore
from rdt.model.captioner import Captioner
from tests.bench.bench_core import ratio, take_turns, verdict

IMAGES, WORDS = 256, 180
SIDE = 512  # of the square matrices whose product tells what the machine multiplies per second
PRODUCTS_BAR = 3.0  # captions take at most so many times as long as their multiply-adds in such products


def random_split(width: int, length: int) -> Split:
    """As many images as are captioned, with random features and one retrieved sentence each."""
    rng, ids = np.random.default_rng(0), np.arange(IMAGES)
    grid, vectors = (rng.standard_normal((IMAGES, *shape)) for shape in ((GRID_CELLS, width), (width,)))
    features = (grid.astype(np.float16), vectors.astype(np.float32))
    store = FeatureStore(Path("nowhere"), ids, *features, np.zeros(0), np.zeros((0, width)))
    return Split(ids, store, ids, (), rng.integers(1, WORDS, (IMAGES, 1, length)))


def main() -> int:
    torch.set_num_threads(1)
    experiment = load_experiment("scenes")
    method, width = experiment.method, experiment.encoder.width
    torch.manual_seed(0)
    model = Captioner(experiment.model, method, WORDS, width, width).eval()
    split, sampling = random_split(width, method.length), Sampling(method, method.steps, 0)
    ranks = sentence_ranks(split, 0, None, 0)
    work = NetworkWork(experiment.model, method, RoleSizes({}, WORDS, width, width))
    products = round(IMAGES * (work.encode() + method.steps * work.denoise()) / SIDE**3)
    square = torch.randn(SIDE, SIDE)
    seconds = take_turns(
        {
            "captions": lambda: denoise_captions(model, split, ranks, sampling),
            "products": lambda: [square @ square for _ in range(products)],
        },
        turns=3,
    )
    print(f"Captions of {IMAGES} images, T = {method.steps}, the network of the scenes, {WORDS} words, float32")
    rates = {name: IMAGES / median(turns) for name, turns in seconds.items()}
    print(f"  {rates['captions']:.0f} captions per CPU-second; {rates['products']:.0f} if they were products alone")
    bar = ratio(seconds["captions"], seconds["products"])
    return 0 if verdict("time of their multiply-adds", bar, PRODUCTS_BAR, at_least=False) else 1


if __name__ == "__main__":
    sys.exit(main())
