"""Speed of the two kernels that training leans on, each against its bar.

    OMP_NUM_THREADS=1 python -m tests.bench.bench_core

Contenders take turns in one process on one thread and are timed in CPU-seconds, so that a busy machine slows them
alike; a ratio is the median over turns. Exits with 1 if a bar is missed.
"""

from __future__ import annotations

import ctypes
import random
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from pycocoevalcap.cider.cider import Cider
from torch import Tensor

from rdt.metrics.ciderd import CiderD
from rdt.model.attention import ranked_attention
from rdt.model.device import keep_heap
from tests.support.reference import gather_ranked_attention

MMAP_MAX = -4  # mallopt's name for how many blocks may have pages of their own
# Ranked attention is at least so many times as fast as gathering, where freed memory goes back and where it is kept.
RETURNED_BAR, KEPT_BAR = 30.0, 15.0
PLAIN_BAR = 2.0  # and takes at most so many times as long as plain attention
REWARD_BAR = 12.0  # CiderD scores at least so many times the captions per second of pycocoevalcap


def take_turns(contenders: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """CPU-seconds of every turn of every contender, after one turn to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(turns + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - start)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    return median(s / f for s, f in zip(slow, fast, strict=True))


def verdict(label: str, value: float, bar: float, at_least: bool) -> bool:
    met = value >= bar if at_least else value <= bar
    print(f"  {label}: {value:.1f}x (bar: at {'least' if at_least else 'most'} {bar:g}x) {'ok' if met else 'MISSED'}")
    return met


def keep_all() -> None:
    """Keep the heap as trainings do, and blocks above 32 MB too, which the gathered keys are."""
    keep_heap()
    ctypes.CDLL(None).mallopt(MMAP_MAX, 0)


def bench_attention(heap: str, gather_bar: float, turns: int = 9) -> bool:
    B, H, N, d, keep, reuse_from = 16, 8, 50, 64, 37, 22
    torch.manual_seed(0)
    q, k, v = (torch.randn(B, H, N, d, requires_grad=True) for _ in range(3))
    upstream = [torch.randn(B, H, N, d) for _ in range(2)]

    def both_ways(attention: Callable[[], tuple[Tensor, ...]]) -> Callable[[], object]:
        def run() -> object:
            outputs = attention()
            return torch.autograd.grad(outputs, (q, k, v), upstream[: len(outputs)])

        return run

    seconds = take_turns(
        {
            "gather": both_ways(lambda: gather_ranked_attention(q, k, v, keep, reuse_from)),
            "ranked": both_ways(lambda: ranked_attention(q, k, v, keep, reuse_from)),
            "plain": both_ways(lambda: (F.scaled_dot_product_attention(q, k, v),)),
        },
        turns,
    )
    print(f"Ranked attention, forward + backward, B={B} H={H} N={N} d={d} K_F={keep} L_E={reuse_from}, {heap}")
    print("  medians: " + ", ".join(f"{name} {median(s) * 1e3:.1f} ms" for name, s in seconds.items()))
    faster = verdict("faster than gather", ratio(seconds["gather"], seconds["ranked"]), gather_bar, at_least=True)
    cheap = verdict("time of plain attention", ratio(seconds["ranked"], seconds["plain"]), PLAIN_BAR, at_least=False)
    return faster and cheap


def bench_reward(turns: int = 9, images: int = 400) -> bool:
    rng = random.Random(0)
    words = [f"w{rank}" for rank in range(500)]
    weights = [1 / (rank + 1) for rank in range(500)]  # Zipf

    def sentence() -> list[str]:
        return rng.choices(words, weights, k=rng.randint(7, 14))

    references = [[sentence() for _ in range(5)] for _ in range(images)]
    candidates = [sentence() for _ in range(images)]
    as_text = {i: [" ".join(c) for c in captions] for i, captions in enumerate(references)}
    candidate_text = {i: [" ".join(c)] for i, c in enumerate(candidates)}
    reward, coco = CiderD(references), Cider()
    seconds = take_turns(
        {
            "pycocoevalcap": lambda: coco.compute_score(as_text, candidate_text),
            "CiderD": lambda: reward.score(candidates),
        },
        turns,
    )
    print(f"CIDEr-D reward, {images} captions, 5 references each, tables of references warm")
    print("  medians: " + ", ".join(f"{name} {images / median(s):,.0f} captions/s" for name, s in seconds.items()))
    return verdict("faster", ratio(seconds["pycocoevalcap"], seconds["CiderD"]), REWARD_BAR, at_least=True)


def main() -> int:
    torch.set_num_threads(1)
    met = [bench_attention("freed memory goes back", RETURNED_BAR)]
    keep_all()
    met += [bench_attention("freed memory is kept", KEPT_BAR), bench_reward()]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
