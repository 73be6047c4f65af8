"""A training step at the paper's size beside a step of SCD-Net's structure, and two of its parts beside torch's.

    OMP_NUM_THREADS=1 python -m tests.bench.bench_step

CPU-seconds of one thread; see bench_core. Exits with 1 if a bar is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rdt.draws import generator
from rdt.experiment.file import load_experiment
from rdt.experiment.settings import GRID_CELLS, Experiment
from rdt.features.split import Split
from rdt.features.store import FeatureStore
from rdt.model.captioner import Captioner
from rdt.model.device import open_device
from rdt.model.dropout import Dropout
from rdt.training.loop import Budget, _State
from rdt.training.xe import CaptionerXE
from tests.bench.bench_core import ratio, take_turns, verdict
from tests.bench.scdnet import ScdNet

IMAGES, WORDS, SCENES_WORDS = 4, 10_199, 180
RATE = 1e-4
STEP_BAR = 1.45  # captions per CPU-second, of SCD-Net's structure's
DROPOUT_BAR = 2.0  # at least so many times as fast as torch's
UPDATE_BAR = 2.5  # and the update as one tensor by tensor


def random_split(grid_dim: int, global_dim: int, length: int, retrieved: int) -> Split:
    """Images of random features with captions of 9 to 13 random words."""
    rng, ids = np.random.default_rng(0), np.arange(IMAGES)

    def rows(count: int) -> np.ndarray:
        words = rng.integers(1, WORDS, (count, length))
        return words * (np.arange(length) < rng.integers(9, 14, (count, 1)))

    grid = rng.standard_normal((IMAGES, GRID_CELLS, grid_dim)).astype(np.float16)
    vectors = rng.standard_normal((IMAGES, global_dim)).astype(np.float32)
    store = FeatureStore(Path("nowhere"), ids, grid, vectors, np.zeros(0), np.zeros((0, global_dim)))
    captions = tuple(rows(5) for _ in ids)
    return Split(ids, store, ids, captions, rows(IMAGES * retrieved).reshape(IMAGES, retrieved, length))


def state_of(model: nn.Module, experiment: Experiment) -> _State:
    """What a training of ``model`` keeps, before its first step."""
    settings = experiment.training
    budget = Budget(
        epochs=1,
        images=IMAGES,
        images_per_step=IMAGES,
        learning_rate=lambda step: RATE,
        clip_value=settings.clip_value,
        ema=settings.ema,
        evaluate_every=1,
        checkpoint_seconds=60,
        seed=0,
    )
    return _State(model, budget, Path("nowhere"), {})


def tensor_by_tensor(parameters: list[Tensor], experiment: Experiment, fused: bool) -> Callable[[], None]:
    """Clipping, Adam (its own loop, or ``fused``) and the moving average of parameters that have gradients."""
    settings = experiment.training
    adam = torch.optim.Adam(parameters, lr=RATE, foreach=False, fused=fused)
    averages = [parameter.detach().clone() for parameter in parameters]

    def update() -> None:
        nn.utils.clip_grad_value_(parameters, settings.clip_value, foreach=False)
        adam.step()
        for average, parameter in zip(averages, parameters, strict=True):
            average.lerp_(parameter.detach(), 1 - settings.ema)

    return update


def coins(seed: int, share: float) -> cycle:
    """Steps of an epoch, in turn one with and one without the pass for self-conditioning."""
    said = [generator(seed, "coin", 0, step).random() < share for step in range(20)]
    return cycle((said.index(True), said.index(False)))


def multiply_adds(run: Callable[[], None]) -> int:
    """Multiply-adds in the matrix products of a run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def bench_step(turns: int = 3) -> bool:
    experiment = load_experiment("coco")
    method, sizes, grid_dim, global_dim = experiment.method, experiment.model, 2048, 512
    split = random_split(grid_dim, global_dim, method.length, method.retrieved)
    torch.manual_seed(0)
    model = Captioner(sizes, method, WORDS, grid_dim, global_dim).train()
    task = CaptionerXE(split=split, method=method, seed=0, num_bits=model.num_bits, evaluate=dict)
    state = state_of(model, experiment)
    peer = ScdNet(sizes, method, WORDS, grid_dim).train()
    update = tensor_by_tensor(list(peer.parameters()), experiment, fused=False)
    with_and_without = coins(0, method.self_condition)

    def ours() -> None:
        for step in (next(with_and_without), next(with_and_without)):
            state.update(task, task.batch(split.image_ids, 0), 0, step)

    def theirs() -> None:
        for self_condition in (True, False):
            batch = task.batch(split.image_ids, 0)
            peer.zero_grad()
            peer.loss(batch, method, self_condition).backward()
            update()

    products = [multiply_adds(run) for run in (theirs, ours)]
    seconds = take_turns({"ours": ours, "SCD-Net's structure": theirs}, turns)
    captions = 2 * IMAGES * method.captions_per_image
    print(
        f"Training step, {IMAGES} images x {method.captions_per_image}, dim {sizes.dim}, L = {method.length}, "
        f"{WORDS:,} words; half of the steps with a pass for self-conditioning"
    )
    print("  per CPU-second: " + ", ".join(f"{name} {captions / median(s):.1f}" for name, s in seconds.items()))
    print(f"  of which products: {products[0] / products[1]:.2f}x the multiply-adds there")
    return verdict("captions of SCD-Net's structure", ratio(*reversed(seconds.values())), STEP_BAR, at_least=True)


def bench_dropout(turns: int = 25) -> bool:
    x, upstream = torch.randn(20, 40, 400, requires_grad=True), torch.randn(20, 40, 400)

    def both_ways(module: nn.Module) -> Callable[[], object]:
        return lambda: torch.autograd.grad(module(x), x, upstream)

    seconds = take_turns({"torch": both_ways(nn.Dropout(0.1)), "ours": both_ways(Dropout(0.1))}, turns)
    print(f"Dropout, forward + backward, {x.numel():,} values")
    print("  medians: " + ", ".join(f"{name} {median(s) * 1e3:.2f} ms" for name, s in seconds.items()))
    return verdict("faster", ratio(seconds["torch"], seconds["ours"]), DROPOUT_BAR, at_least=True)


def bench_update(turns: int = 25) -> bool:
    experiment = load_experiment("scenes")
    width = experiment.encoder.width
    torch.manual_seed(0)
    pair = [Captioner(experiment.model, experiment.method, SCENES_WORDS, width, width) for _ in range(2)]
    parameters = list(pair[1].parameters())
    gradients = [torch.randn_like(parameter) for parameter in parameters]
    state = state_of(pair[0], experiment)
    state.gradients = lambda *_: (gradients, {})
    each = tensor_by_tensor(parameters, experiment, fused=True)

    def one_by_one() -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients])).item()
        each()

    seconds = take_turns({"each": one_by_one, "flat": lambda: state.update(None, None, 0, 0)}, turns)
    print(f"Norm, clipping, Adam and moving average of the {len(parameters)} tensors of the scenes' network")
    print("  medians: " + ", ".join(f"{name} {median(s) * 1e3:.2f} ms" for name, s in seconds.items()))
    return verdict("faster as one tensor", ratio(seconds["each"], seconds["flat"]), UPDATE_BAR, at_least=True)


def main() -> int:
    open_device(load_experiment("scenes").training, "")
    torch.set_num_threads(1)
    met = [bench_step(), bench_dropout(), bench_update()]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
