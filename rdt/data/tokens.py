"""Token rows: captions as integers of one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Rows = TypeVar("Rows", np.ndarray, "torch.Tensor")


def token_row(ids: Sequence[int], length: int) -> np.ndarray:
    """(length,) int32: [w_1, ..., w_n, 0, ..., 0], at most ``length`` - 1 words, so that one 0 ends them."""
    if 0 in ids:
        raise ValueError("a word has id 0, which ends the caption")
    row = np.zeros(length, np.int32)
    words = ids[: length - 1]
    row[: len(words)] = words
    return row


def valid_mask(rows: Rows) -> Rows:
    """Boolean of the shape of ``rows`` (..., L): True up to and including the first 0, everywhere if there is none."""
    ends = rows == 0
    return ends.cumsum(-1) <= ends


def sentence(row: np.ndarray) -> list[int]:
    """Word ids of a token row up to and including the first end token: what the reward sees."""
    ends = np.flatnonzero(row == 0)
    return row[: ends[0] + 1].tolist() if len(ends) else row.tolist()
