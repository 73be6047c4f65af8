"""The batches of a training, in their order; worker processes, where there are any, make them ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")

Place = tuple[np.ndarray, int]
"""Positions of images in the train split, and the epoch."""


@dataclass(frozen=True)
class _Batches(Dataset[T]):
    make: Callable[[np.ndarray, int], T]

    def __getitem__(self, place: Place) -> T:
        return self.make(*place)


def batches(
    make: Callable[[np.ndarray, int], T], places: Iterable[Place], workers: int, device: torch.device
) -> Iterator[T]:
    """``make(positions, epoch)`` at each of ``places``; with 0 ``workers`` when it is asked for, in this process.

    Workers are forks: they read the memory maps that are open here, and each keeps two batches ready as tensors in
    shared memory, at the paper's size 6 MB a batch.
    """
    return iter(
        DataLoader(
            _Batches(make),
            batch_size=None,
            sampler=places,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # not the global one, which dropout draws from
            multiprocessing_context="fork" if workers else None,
        )
    )


def _unchanged(batch: T) -> T:
    return batch
