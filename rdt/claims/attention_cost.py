"""What attention costs: the paper's Section IV-D in numbers, multiply-adds as counted, time and memory as measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from rdt.files import read_json
from rdt.metrics.resampling import half_width
from rdt.provenance.steps import COST_FILE

LIMITS = {("seconds", "tokens"): 3, ("seconds", "dim"): 1, ("bytes", "tokens"): 2, ("bytes", "dim"): 1}

Quantity = Literal["seconds", "bytes"]
Size = Literal["tokens", "dim"]


@dataclass(frozen=True)
class AttentionCost:
    """Multiply-adds of one image in one layer of a visual encoder: attention, and the layer with its feed-forward."""

    attention: int
    layer: int


def self_attention_cost(n: int, dim: int, ffn: int) -> AttentionCost:
    """Cost of multi-head self-attention: Q, K, V and W^O (4 n d^2), scores and sums (2 n^2 d) of ``n`` tokens."""
    attention = 4 * n * dim**2 + 2 * n**2 * dim
    return AttentionCost(attention, attention + 2 * n * dim * ffn)


def ranking_attention_cost(n: int, dim: int, ffn: int, lambda_f: float, lambda_e: float) -> AttentionCost:
    """Cost of multi-head ranking attention as the paper writes it, Eq. 15-23, whatever the number of heads.

    ``n`` tokens of ``dim`` dimensions, ``ffn`` hidden units of the feed-forward; the shares of keys are in [0, 1].

    Q, K, V and W^O; the affinity that is ranked (Eq. 16); scores and weighted sum over the gathered keys of
    the two branches (Eq. 19, 22); the fusion of their outputs, 2 d -> d (Eq. 23). Ranking itself compares and
    multiplies nothing: n^2 log n comparisons, and the gathering copies.
    """
    from rdt.model.attention import key_counts  # and with it torch, which nothing else here needs

    keep, reuse_from = key_counts(n, lambda_f, lambda_e)
    gathered = keep + n - reuse_from
    attention = 4 * n * dim**2 + n**2 * dim + 2 * n * gathered * dim + 2 * n * dim**2
    return AttentionCost(attention, attention + 2 * n * dim * ffn)


@dataclass(frozen=True)
class Exponent:
    """Power of a size with which a cost grows, with its 95 % interval over turns; the paper's law allows ``limit``."""

    value: float
    low: float
    high: float
    limit: int


@dataclass(frozen=True)
class MeasuredCost:
    """Ranking attention (Eq. 16-22) beside self-attention, forward and backward, both without their linear maps.

    ``exponents`` are those of ranking attention; ``ratios`` its seconds and bytes over self-attention's at the
    smallest size that was measured, the paper's.
    """

    machine: str
    exponents: Mapping[tuple[Quantity, Size], Exponent]
    ratios: Mapping[Quantity, float]

    @property
    def lawful(self) -> bool:
        """Whether nothing grows faster than n^2 d + n^3 in time and n^2 + n d in memory."""
        return all(exponent.low <= exponent.limit for exponent in self.exponents.values())


def measured_cost(path: Path = COST_FILE) -> MeasuredCost:
    """Cost of ranking attention over tokens and dimensions, as `python -m tests.bench.attention_cost` measured it."""
    content = read_json(path)
    sizes, first = content["sizes"], content["sizes"][0]
    exponents = {key: _exponent(sizes, first, *key, limit) for key, limit in LIMITS.items()}
    turns = zip(first["seconds"]["ranking"], first["seconds"]["plain"], strict=True)
    taken = median(ranking / plain for ranking, plain in turns)
    ratios = {"seconds": taken, "bytes": first["bytes"]["ranking"] / first["bytes"]["plain"]}
    return MeasuredCost(content["machine"], exponents, ratios)


def _exponent(
    sizes: Sequence[Mapping[str, Any]], first: Mapping[str, Any], quantity: Quantity, size: Size, limit: int
) -> Exponent:
    """Slope of the logarithms over the sizes that differ from the first in ``size`` alone, by turn."""
    (other,) = {"tokens", "dim"} - {size}
    along = [one for one in sizes if one[other] == first[other]]
    costs = np.log([np.atleast_1d(one[quantity]["ranking"]) for one in along])
    slopes = np.polyfit(np.log([one[size] for one in along]), costs, 1)[0]
    turns = len(slopes)
    error = float(np.std(slopes, ddof=1)) / math.sqrt(turns) if turns > 1 else 0.0
    half, value = half_width(0.0, error, 1, turns - 1), float(slopes.mean())
    return Exponent(value, value - half, value + half, limit)
