"""Training by several processes, which torchrun starts, with the numbers of one.

Each process takes consecutive images of every batch. Means and pairs cover the whole batch, gradients
are added up, and so each process makes the same step. On a CPU the random draws equal one process's, too:
each draws for the whole batch and keeps its own rows. A GPU draws inside its kernels, so there each process has
a stream of its own.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LAUNCHER = os.getppid()
PATIENCE = datetime.timedelta(days=1)  # the others wait while the first one evaluates; torchrun ends them if it dies


# ---- who takes part


@contextmanager
def group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, if it started this one, and leave them when all have ended."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield
        return
    on_gpu = device.type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE, device_id=device if on_gpu else None)
    yield
    dist.barrier()
    dist.destroy_process_group()


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if world() > 1 else 0


def leads() -> bool:
    """Whether this is the one that evaluates, reports and writes."""
    return rank() == 0


# ---- shares of a batch


@dataclass(frozen=True)
class Share:
    """One process's rows of a batch: ``own`` of ``total``, from ``first`` on, in the order of the processes."""

    first: int
    own: int
    total: int

    def times(self, rows: int) -> Share:
        """The share of rows of which each of the present ones has the same number, in all ``rows`` own ones."""
        copies, left = divmod(rows, self.own)
        if left:
            raise ValueError(f"{rows} rows are no multiple of the {self.own} of this process")
        return Share(copies * self.first, rows, copies * self.total)


WHOLE = Share(0, 1, 1)
_share: ContextVar[Share] = ContextVar("share", default=WHOLE)


def images() -> Share:
    """This process's images of the batch in hand."""
    return _share.get()


def share_of(total: int) -> Share:
    """This process's part of a batch of so many images; the parts are equal as far as that goes."""
    first, end = (total * at // world() for at in (rank(), rank() + 1))
    return Share(first, end - first, total)


def _share_where(mask: Tensor) -> Share:
    """The share of the places where ``mask`` holds, whose number differs between processes."""
    counts = torch.zeros(world(), dtype=torch.int64, device=mask.device)
    counts[rank()] = mask.sum()
    dist.all_reduce(counts)
    known = counts.tolist()
    return Share(sum(known[: rank()]), known[rank()], sum(known))


@contextmanager
def taking(share: Share) -> Iterator[None]:
    """Draws in this context are for rows that are divided like ``share``."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


# ---- losses of the whole batch, as each process has its part of them: the parts and their gradients add up to it


def mean(own: Tensor, mask: Tensor) -> Tensor:
    """The part of this process in a mean over all places where ``mask`` holds; ``own`` is the mean over its own."""
    if world() == 1:
        return own
    here = mask.sum()
    everywhere = here.clone()
    dist.all_reduce(everywhere)
    return own * here / everywhere


def jointly(loss: Callable[..., Tensor], *rows: Tensor, **settings: Any) -> Tensor:
    """The part of this process in ``loss(*rows, **settings)`` of the captions of all, since it looks at pairs of them.

    Every tensor, also among the settings, has a row for each caption.
    """
    named = {name: gathered(value) if isinstance(value, Tensor) else value for name, value in settings.items()}
    return loss(*map(gathered, rows), **named) / world()


def applied(function: Callable[[Tensor], Tensor], values: Tensor, mask: Tensor) -> Tensor:
    """``function(values[mask])``, which draws what one process would draw for the places of all."""
    if world() == 1:
        return function(values[mask])
    with taking(_share_where(mask)):
        return function(values[mask])


# ---- what the processes tell each other; all of them ask at the same time


def added(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The sums of ``tensors`` over the processes, the same bits in each."""
    if world() == 1:
        return tensors
    if os.getppid() != LAUNCHER:
        raise SystemExit("torchrun has ended, and with it the processes that it started")
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, for captions of the batch in hand: (n, ...) -> (all n, ...).

    The gradient of a sum over the processes reaches the rows of each.
    """
    if world() == 1:
        return rows
    if rows.dtype == torch.bool:  # which gloo cannot add
        return gathered(rows.byte()).bool()
    share = images().times(len(rows))
    before, after = (rows.new_zeros(n, *rows.shape[1:]) for n in (share.first, share.total - share.first - share.own))
    return _Sum.apply(torch.cat([before, rows, after]))


class _Sum(torch.autograd.Function):
    """Sum over the processes; a part of a loss in each of them has its gradient added to the others'."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient.contiguous())


def anywhere(flags: Tensor) -> bool:
    """Whether one of the ``flags`` of one of the processes is set."""
    some = flags.any()
    if world() > 1:
        some = some.to(torch.int32)
        dist.all_reduce(some, dist.ReduceOp.MAX)
    return bool(some)


def decided(question: Callable[[], bool], device: torch.device) -> bool:
    """What the leading process answers, in all of them."""
    return anywhere(torch.tensor(leads() and question(), device=device))


# ---- random draws


def stream(device: torch.device) -> int:
    """The part of a random draw's key that tells the processes apart: none on a CPU, where they share one stream."""
    return 0 if device.type == "cpu" else rank()


@contextmanager
def part(share: Share, device: torch.device) -> Iterator[None]:
    """A step on this process's ``share`` of a batch: what is drawn for its images is what one process would draw."""
    with taking(share), _SharedDraws() if world() > 1 and device.type == "cpu" else nullcontext():
        yield


class _SharedDraws(TorchDispatchMode):
    """Draws random numbers for the whole batch and keeps this process's rows of them."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is getattr(torch.ops.aten.random_, "from"):  # dropout
            return args[0].copy_(self._own(args[0], lambda whole: func(whole, *args[1:], **kwargs)))
        if func is torch.ops.aten.uniform_.default:  # the order of keys=random
            return args[0].copy_(self._own(args[0], lambda whole: func(whole, *args[1:], **kwargs)))
        if func is torch.ops.aten.multinomial.default and args[1] == 1:  # as torch takes one sample
            exponential = self._own(args[0], lambda whole: whole.exponential_(generator=kwargs["generator"]))
            return (args[0] / exponential).argmax(-1, keepdim=True)
        if torch.Tag.nondeterministic_seeded in func.tags and func not in _WITHOUT_DROPOUT:
            raise NotImplementedError(f"{func} draws random numbers in a way that processes cannot share")
        return func(*args, **kwargs)

    def _own(self, rows: Tensor, fill: Callable[[Tensor], object]) -> Tensor:
        """This process's part of a tensor for the whole batch that ``fill`` has filled."""
        share = images().times(len(rows))
        whole = rows.new_empty(share.total, *rows.shape[1:])
        fill(whole)
        return whole[share.first : share.first + share.own]


_WITHOUT_DROPOUT = (torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,)
