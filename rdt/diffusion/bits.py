"""Words as analog bits: ids of a vocabulary to vectors of -1 and 1, and back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def bit_width(vocab_size: int) -> int:
    """n = ceil(log2 V), the bits that a vocabulary of V words needs (at least one)."""
    if vocab_size < 1:
        raise ValueError(f"a vocabulary holds at least one word, got vocab_size={vocab_size}")
    return max(1, (vocab_size - 1).bit_length())


def encode_bits(ids: Tensor, num_bits: int) -> Tensor:
    """Binary code of each id, most significant bit first, 0 as -1 and 1 as 1.

    ids: integers (...) in [0, 2^num_bits). Returns float32 (..., num_bits).
    Raises ValueError for an id that does not fit.
    """
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= 2**num_bits):
        raise ValueError(f"ids of {num_bits} bits lie in [0, {2**num_bits}), got {int(ids.min())}..{int(ids.max())}")
    shifts = torch.arange(num_bits - 1, -1, -1, device=ids.device)
    return ((ids.unsqueeze(-1) >> shifts) & 1).float() * 2 - 1


def codebook(vocab_size: int, num_bits: int | None = None) -> Tensor:
    """Codes of the whole vocabulary: float32 (vocab_size, num_bits); row i is ``encode_bits(i)``."""
    return encode_bits(torch.arange(vocab_size), bit_width(vocab_size) if num_bits is None else num_bits)


def _codes(bits: Tensor) -> Tensor:
    """The integer that the signs of the bits spell; a bit of exactly 0 counts as -1. (..., b) -> (...)."""
    weights = 2 ** torch.arange(bits.shape[-1] - 1, -1, -1, device=bits.device)
    return ((bits > 0) * weights).sum(-1)


def decode_bits(
    bits: Tensor, vocab_size: int, oov: Literal["clamp", "nearest"] = "clamp", codebook: Tensor | None = None
) -> Tensor:
    """Ids of analog bits (..., num_bits), as int64 (...) in [0, vocab_size).

    ``oov`` says what becomes of the codes beyond the vocabulary. ``clamp`` thresholds each bit at 0 and
    maps every such code to the last id; ``nearest`` takes the word whose code has the largest inner
    product with the bits, so that it needs the ``codebook`` (vocab_size, num_bits). Without zeros among
    the bits, both agree wherever the thresholded code is a word.
    """
    if oov == "clamp":
        return _codes(bits).clamp(max=vocab_size - 1)
    if oov != "nearest":
        raise ValueError(f"oov is 'clamp' or 'nearest', got {oov!r}")
    if codebook is None or codebook.shape != (vocab_size, bits.shape[-1]):
        raise ValueError(f"oov='nearest' needs a codebook of shape ({vocab_size}, {bits.shape[-1]})")
    return (bits @ codebook.to(bits).T).argmax(-1)


def count_oov(bits: Tensor, vocab_size: int) -> int:
    """How many words of ``bits`` (..., num_bits) threshold to a code beyond the vocabulary."""
    return int((_codes(bits) >= vocab_size).sum())
