"""Learning rates as functions of the step, counted from 1."""

from __future__ import annotations

import math


def noam(step: int, dim: int, warmup: int, factor: float) -> float:
    """factor * dim^-1/2 * min(step^-1/2, step * warmup^-3/2): peak at ``warmup`` (Vaswani et al. 2017)."""
    return factor * dim**-0.5 * min(step**-0.5, step * warmup**-1.5)


def cosine(step: int, total: int, warmup: int, peak: float) -> float:
    """Linear to ``peak`` in ``warmup`` steps, then half a cosine to zero at ``total``."""
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
