"""Measure what ranking attention costs beside self-attention as tokens and dimensions grow.

``python -m tests.bench.attention_cost`` writes reports/attention_cost.json, on which the claim about it rests. Both
are measured without their linear maps, as the paper's analysis leaves them out: forward and backward pass of
Eq. 16-22, in CPU-seconds of one thread, and the bytes that are kept for the backward pass.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel

from rdt.files import atomic_write_json
from rdt.model.attention import key_counts, ranked_attention
from rdt.provenance.steps import COST_FILE

BATCH, HEADS, TURNS = 4, 8, 9
TOKENS, DIMS = (50, 100, 200, 400), (512, 1024, 2048, 4096)  # each alone beside the paper's 50 and 512
LAMBDA_F, LAMBDA_E = 0.75, 0.55

Attention = Callable[[Tensor, Tensor, Tensor], tuple[Tensor | None, ...]]


def plain(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor | None, ...]:
    """Self-attention with its matrix of scores, as the paper counts it."""
    with sdpa_kernel(SDPBackend.MATH):
        return (F.scaled_dot_product_attention(q, k, v),)


def ranked(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor | None, ...]:
    """Both branches of ranking attention."""
    return ranked_attention(q, k, v, *key_counts(q.shape[-2], LAMBDA_F, LAMBDA_E))


def inputs(n: int, dim: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(n * dim)
    size = BATCH, HEADS, n, dim // HEADS
    return [torch.randn(size, generator=generator, requires_grad=True) for _ in range(3)]


def seconds(attention: Attention, qkv: list[Tensor]) -> float:
    """CPU-seconds of one forward and backward pass."""
    started = time.process_time()
    outputs = [output for output in attention(*qkv) if output is not None]
    torch.autograd.grad(outputs, qkv, [torch.ones_like(output) for output in outputs])
    return time.process_time() - started


def kept_bytes(attention: Attention, qkv: list[Tensor]) -> int:
    """Bytes of all tensors that one forward pass keeps for the backward pass, each storage once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = attention(*qkv)  # noqa: F841 - alive, so that no address is used twice
    return sum(kept.values())


def measured(n: int, dim: int) -> dict[str, object]:
    """Both attentions at one size, in turns so that both see the same machine."""
    qkv = inputs(n, dim)
    times: dict[str, list[float]] = {"plain": [], "ranking": []}
    passes = max(1, 60_000_000 // (n * n * dim))
    for turn in range(TURNS + 1):
        for name, attention in (("plain", plain), ("ranking", ranked)):
            found = sum(seconds(attention, qkv) for _ in range(passes)) / passes
            if turn:  # the first warms up
                times[name].append(found)
    bytes_of = {name: kept_bytes(attention, qkv) for name, attention in (("plain", plain), ("ranking", ranked))}
    return {"tokens": n, "dim": dim, "seconds": times, "bytes": bytes_of}


def main() -> None:
    torch.set_num_threads(1)
    sizes = [(n, DIMS[0]) for n in TOKENS] + [(TOKENS[0], dim) for dim in DIMS[1:]]
    measurements = [measured(*size) for size in sizes]
    machine = f"{platform.machine()}, torch {torch.__version__}, one thread"
    atomic_write_json(COST_FILE, {"machine": machine, "batch": BATCH, "heads": HEADS, "sizes": measurements})


if __name__ == "__main__":
    main()
