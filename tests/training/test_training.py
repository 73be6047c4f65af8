"""Training: keyed draws, the loop and its resumption, and what each stage minimises."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdt.data.tokens import sentence, valid_mask
from rdt.diffusion.bits import decode_bits, encode_bits
from rdt.draws import choose, epoch_order, generator, torch_seed
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.settings import Method, ModelSettings
from rdt.features.split import Split, sentence_input
from rdt.features.store import GRID_CELLS, FeatureStore
from rdt.metrics.ciderd import CiderD
from rdt.model.captioner import Captioner
from rdt.model.teacher import Teacher
from rdt.training.batches import Batch, image_draw, make_batch
from rdt.training.loop import Budget, Outcome, fit
from rdt.training.rl import CaptionerRL, build_reward, critical_losses, rewards
from rdt.training.schedule import cosine, noam
from rdt.training.selection import Selection
from rdt.training.teacher import TeacherRL, TeacherXE, mean_of_others
from rdt.training.xe import CaptionerXE, cascade_bits, corrupt_words, denoise_once, denoising_losses, recoded
from tests.support import tiny
from tests.support.repository import REPOSITORY

V, D, E, L, BITS = 21, 6, 5, 8, 5
SIZES = ModelSettings(
    dim=16,
    heads=2,
    ffn=32,
    visual_layers=1,
    semantic_layers=1,
    sentence_layers=1,
    dropout=0.1,
    visual_dropout=0.1,
)
CONTROLS = {"keys": "random", "rank_target": "shuffled"}  # both with draws of their own
IDENTITY = {
    "configuration": "run/xe",
    "vocabulary": "v" * 64,
    "feature set": "f" * 64,
    "data version": "d" * 64,
    "inputs": "i" * 8,
    "code": "c" * 64,
}


def method(**changes) -> Method:
    small = {"length": L, "images_per_step": 4, "captions_per_image": 3, "retrieved": 6}
    return replace(load_experiment("smoke").method, **small | changes)


def token_rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random rows of one to L - 1 words."""
    words = rng.integers(1, V, (*shape, L)).astype(np.int32)
    return words * (np.arange(L) < rng.integers(1, L, (*shape, 1)))


def split(images: int = 8, captions: int = 4, retrieved: int = 6, seed: int = 0) -> Split:
    """A split with random features, captions and sentences; image ids 1000, 1001..."""
    rng = np.random.default_rng(seed)
    store = FeatureStore(
        Path("nowhere"),
        np.arange(1000, 1000 + images),
        rng.normal(size=(images, GRID_CELLS, D)).astype(np.float16),
        rng.normal(size=(images, E)).astype(np.float32),
        np.zeros(0),
        np.zeros((0, E)),
    )
    return Split(
        image_ids=store.image_ids,
        store=store,
        feature_rows=np.arange(images),
        captions=tuple(token_rows(rng, captions) for _ in range(images)),
        retrieved=token_rows(rng, images, retrieved),
    )


def captioner(seed: int = 0, cascade: bool = False, **changes) -> Captioner:
    torch.manual_seed(seed)
    return Captioner(SIZES, method(**changes), V, D, E, cascade=cascade)


def score_nothing(model: nn.Module) -> dict[str, float]:
    return {"CIDEr": 0.0}


def settings(data: Split, seed: int, changes: dict[str, object]) -> dict[str, object]:
    """What every stage of a captioner is given."""
    return {"split": data, "method": method(**changes), "seed": seed, "num_bits": BITS, "evaluate": score_nothing}


def xe(data: Split, seed: int = 0, first_cascade: np.ndarray | None = None, **changes) -> CaptionerXE:
    return CaptionerXE(**settings(data, seed, changes), first_cascade=first_cascade)


def losses_of(
    task: CaptionerXE | TeacherXE, model: nn.Module, positions: np.ndarray, epoch: int, step: int
) -> dict[str, Tensor]:
    return task.losses(model, task.batch(positions, epoch), epoch, step)


def rl(data: Split, teacher: np.ndarray, seed: int = 0, **changes) -> CaptionerRL:
    return CaptionerRL(**settings(data, seed, changes), teacher=teacher, reward=build_reward(data))


# ---- draws


def test_a_draw_depends_on_seed_epoch_and_image_alone():
    first = image_draw(3, 2, 77, 5, 5, 20, 0.999, (L, BITS))
    generator(3, "image", 2, 76).random(1000)  # what others drew before does not matter
    again = image_draw(3, 2, 77, 5, 5, 20, 0.999, (L, BITS))
    for name in ("captions", "sentences", "t", "noise"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    for other in ((4, 2, 77), (3, 1, 77), (3, 2, 78)):
        assert not np.array_equal(first.noise, image_draw(*other, 5, 5, 20, 0.999, (L, BITS)).noise)


def test_a_batch_gives_each_image_its_own_draw():
    """Whatever batch an image is in, and at whatever place: so rows of a table are paired."""
    data = split()
    one = make_batch(data, np.array([2, 5, 7]), 0, 4, 3, 0.999, BITS)
    two = make_batch(data, np.array([7, 0, 1, 5]), 0, 4, 3, 0.999, BITS)
    for name in ("rows", "retrieved", "retrieved_mask", "t", "noise"):
        a, b = getattr(one, name), getattr(two, name)
        assert torch.equal(a[3:6], b[9:12]) and torch.equal(a[6:9], b[:3])
    assert torch.equal(one.grid[1], two.grid[3])
    assert one.noise.shape == (9, L, BITS) and one.t.shape == (9,)


def test_two_methods_see_the_same_noise_and_order():
    """Rows of a table differ in the method alone: captions, sentences, t and noise are shared."""
    data = split()
    seen: list[Tensor] = []

    class Recorder(Captioner):
        def hidden(self, x_t, log_snr, previous, context):
            seen.append(torch.cat([x_t.flatten(), log_snr]))
            return super().hidden(x_t, log_snr, previous, context)

    for changes in ({}, {"lambda_f": 1.0, "lambda_e": 0.0, "lambda_rank": 0.0}):
        torch.manual_seed(0)
        model = Recorder(SIZES, method(**changes), V, D, E)
        losses_of(xe(data, self_condition=0.0, **changes), model, np.arange(4), 1, 2)
    assert torch.equal(*seen)


def test_an_epoch_visits_every_image_once():
    order = epoch_order(5, 3, 100)
    assert sorted(order) == list(range(100)) and not np.array_equal(order, np.arange(100))
    assert np.array_equal(order, epoch_order(5, 3, 100))
    assert not np.array_equal(order, epoch_order(5, 4, 100)) and not np.array_equal(order, epoch_order(6, 3, 100))


@pytest.mark.parametrize(("available", "wanted"), [(5, 5), (20, 5), (3, 5), (1, 4), (2, 6)])
def test_choose_is_fair(available, wanted):
    for seed in range(20):
        chosen = choose(np.random.default_rng(seed), available, wanted)
        assert len(chosen) == wanted and set(chosen) <= set(range(available))
        counts = np.bincount(chosen, minlength=available)
        assert counts.max() - counts.min() <= 1  # hence distinct where there are enough


def test_t_is_uniform_below_t_max():
    t = np.concatenate([image_draw(0, 0, image, 5, 5, 5, 0.999, (1, 1)).t for image in range(2000)])
    assert t.min() >= 0 and t.max() < 0.999 and t.dtype == np.float32
    assert t.mean() == pytest.approx(0.4995, abs=4 * 0.999 / math.sqrt(12 * 10_000))
    assert len(np.unique(t[:5])) == 5  # each caption its own


def test_purposes_do_not_share_their_numbers():
    draws = [generator(0, purpose, 1, 2).random() for purpose in ("order", "image", "coin", "sample", "replace")]
    assert len(set(draws)) == 5
    assert torch_seed(0, "sample", 1) != torch_seed(0, "sample", 2) and 0 <= torch_seed(1, "framework") < 2**63


def test_a_conditional_sentence_begins_with_0_and_masks_its_padding():
    ids, mask = sentence_input(np.array([[4, 5, 0, 0], [1, 2, 3, 0]]))
    assert ids.tolist() == [[0, 4, 5, 0], [0, 1, 2, 3]]
    assert mask.tolist() == [[True, True, True, False], [True, True, True, True]]


# ---- learning rate


def test_noam_peaks_at_its_warmup():
    rates = {step: noam(step, 512, 20_000, 1.0) for step in (1, 19_999, 20_000, 20_001, 80_000)}
    assert rates[20_000] == pytest.approx(3.125e-4, rel=1e-12)
    assert max(rates, key=rates.__getitem__) == 20_000
    assert rates[1] == pytest.approx(3.125e-4 / 20_000)  # linear before
    assert rates[80_000] == pytest.approx(3.125e-4 / 2)  # inverse square root after


def test_cosine_rises_and_ends_at_zero():
    assert cosine(5, 110, 10, 0.4) == pytest.approx(0.2)
    assert cosine(10, 110, 10, 0.4) == pytest.approx(0.4)
    assert cosine(60, 110, 10, 0.4) == pytest.approx(0.2)
    assert cosine(35, 110, 10, 0.4) == pytest.approx(0.2 * (1 + math.sqrt(0.5)))
    assert cosine(110, 110, 10, 0.4) == 0 == cosine(120, 110, 10, 0.4)


# ---- the loop, on a problem that can be followed by hand


class Line(nn.Module):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))


@dataclass
class Slope:
    """Loss ``slope`` w, hence a gradient of ``slope``; the metric is ``score`` of w."""

    slope: float = 3.0
    score: Callable[[float], float] = lambda w: -w
    selected: str = "score"

    def batch(self, positions: np.ndarray, epoch: int) -> np.ndarray:
        return positions

    def losses(self, model: Line, batch: np.ndarray, epoch: int, step: int) -> dict[str, Tensor]:
        loss = self.slope * model.w.sum()
        return {"total": loss, "part": loss / 2}

    def evaluate(self, model: Line) -> dict[str, float]:
        return {"score": self.score(model.w.item())}


def budget(**changes) -> Budget:
    settings = {
        "epochs": 2,
        "images": 9,
        "images_per_step": 4,
        "learning_rate": lambda step: 0.1,
        "clip_value": 0.1,
        "ema": 0.75,
        "evaluate_every": 1,
        "checkpoint_seconds": 1e9,
        "seed": 0,
    }
    return Budget(**settings | changes)


def run_line(folder: Path, task: Slope, **changes) -> tuple[Outcome, Line]:
    model = Line()
    outcome = fit(model, task, budget(**changes), folder / "checkpoint.pt", IDENTITY, lambda record, step: None)
    return outcome, model


def test_moving_average_by_hand(tmp_path):
    """A constant gradient makes each step of Adam the learning rate: w = 0.9, 0.8, 0.7, 0.6."""
    outcome, model = run_line(tmp_path, Slope())
    assert model.w.item() == pytest.approx(0.6, abs=1e-6)
    average = 1.0
    for w in (0.9, 0.8, 0.7, 0.6):
        average = 0.75 * average + 0.25 * w
    assert outcome.ema["w"].item() == pytest.approx(average, abs=1e-6)
    assert outcome.raw["w"].item() == pytest.approx(0.6, abs=1e-6)


def test_gradients_are_clipped_by_value(tmp_path):
    """Adam's memory of the gradient is that of the clipped one: m = (1 - 0.9^2) 0.1 after two steps."""
    run_line(tmp_path, Slope(slope=-7.0), epochs=1)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["optimizer"]["mean"][0].item() == pytest.approx(-0.1 * (1 - 0.9**2))
    assert content["optimizer"]["square"][0].item() == pytest.approx(0.01 * (1 - 0.999**2), rel=1e-4)


def test_the_update_is_that_of_adam(tmp_path):
    """Two tensors, changing gradients and rates, against the formulas of Kingma and Ba."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    expected = [p.detach().clone().double() for p in model.parameters()]
    slopes = [torch.randn(4, *p.shape).double() for p in model.parameters()]

    class Steps:
        selected = "score"

        def batch(self, positions, epoch):
            return positions

        def losses(self, net, batch, epoch, step):
            return {"total": sum((p * s[step]).sum() for p, s in zip(net.parameters(), slopes, strict=True))}

        def evaluate(self, net):
            return {"score": 0.0}

    def rate(step: int) -> float:
        return 0.1 / step

    settings = budget(epochs=1, images=16, learning_rate=rate, clip_value=0.5)
    fit(model, Steps(), settings, tmp_path / "checkpoint.pt", IDENTITY, lambda record, step: None)
    for p, slope in zip(expected, slopes, strict=True):
        mean = square = torch.zeros_like(p)
        for step in range(1, 5):
            g = slope[step - 1].clamp(-0.5, 0.5)
            mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
            p -= rate(step) * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
    for ours, theirs in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-6)


def test_the_best_epoch_is_kept(tmp_path):
    """The metric is best for w near 0.75, the moving average after the second of four epochs."""
    outcome, _ = run_line(tmp_path, Slope(score=lambda w: -abs(w - 0.75) + 10), epochs=4, ema=0.0)
    # w after each epoch: 0.8, 0.6, 0.4, 0.2
    assert outcome.best_epoch == 0 and outcome.ema["w"].item() == pytest.approx(0.8, abs=1e-6)
    assert outcome.best_score == pytest.approx(9.95, abs=1e-5)
    assert [record["val/score"] for record in outcome.history] == pytest.approx([9.95, 9.85, 9.65, 9.45], abs=1e-5)


def test_evaluation_comes_when_asked_and_at_the_end(tmp_path):
    outcome, _ = run_line(tmp_path, Slope(score=lambda w: 1 - w), epochs=5, evaluate_every=2)
    assert ["val/score" in record for record in outcome.history] == [False, True, False, True, True]


def test_training_ends_where_it_is_told_to_but_not_after_the_last_epoch(tmp_path):
    seen = []

    def stop(history):
        seen.append([record["epoch"] for record in history])
        return len(history) == 2

    for epochs, ran in ((4, 2), (2, 2), (1, 1)):
        task, place = Slope(score=lambda w: 1 - w), tmp_path / f"{epochs}.pt"
        outcome = fit(Line(), task, budget(epochs=epochs), place, IDENTITY, lambda record, step: None, stop)
        assert len(outcome.history) == ran and outcome.best_epoch == ran - 1
    assert seen == [[0], [0, 1], [0]]


def test_a_bar_is_for_a_terminal_alone_and_a_line_an_epoch_for_a_log(tmp_path, monkeypatch):
    """Two epochs of two steps."""
    for name, terminal in (("terminal", True), ("log", False)):
        told = io.StringIO()
        told.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", told)
        run_line(tmp_path / name, Slope(), epochs=2)
        last = told.getvalue().rpartition("\r")[2]
        if terminal:
            assert "epoch 2 of 2: 100%" in last and "4/4" in last and "loss" in last
        else:
            assert [line.partition(":")[0] for line in last.splitlines()] == ["epoch 1 of 2", "epoch 2 of 2"]


def test_records_are_means_over_the_steps(tmp_path):
    logged = []
    fit(Line(), Slope(), budget(), tmp_path / "c.pt", IDENTITY, lambda record, step: logged.append((step, record)))
    (first_step, first), (second_step, second) = logged
    assert (first_step, second_step) == (2, 4)  # nine images in steps of four: the ninth waits
    assert first["loss/total"] == pytest.approx(3 * (1.0 + 0.9) / 2, abs=1e-5)
    assert second["loss/part"] == pytest.approx(1.5 * (0.8 + 0.7) / 2, abs=1e-5)
    assert first["grad_norm"] == pytest.approx(3.0)  # before clipping


class CutOffError(Exception):
    pass


@dataclass
class Stops:
    """A task that is cut off before step ``at``, counted over all epochs."""

    task: CaptionerXE
    at: int
    done: int = 0
    selected: str = "CIDEr"

    def batch(self, *arguments) -> Batch:
        return self.task.batch(*arguments)

    def losses(self, *arguments) -> dict[str, Tensor]:
        if self.done == self.at:
            raise CutOffError
        self.done += 1
        return self.task.losses(*arguments)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return self.task.evaluate(model)


@pytest.mark.parametrize(("at", "changes"), [(1, {}), (3, {}), (4, {}), (6, {}), (3, CONTROLS)])
def test_a_resumed_training_ends_in_the_same_bits(tmp_path, at, changes):
    """Cut off at any step and continued by a new process, here a new model with other initial weights."""
    data = split()
    settings = budget(epochs=4, images=8, checkpoint_seconds=0.0, clip_value=0.5)

    def task() -> CaptionerXE:
        score = {"evaluate": lambda model: {"CIDEr": -model.head[1].bias.square().sum().item()}}
        return replace(xe(data, **changes), **score)

    def train(folder: str, given, seed: int = 0) -> Outcome:
        log = lambda record, step: None  # noqa: E731
        return fit(captioner(seed, **changes), given, settings, tmp_path / folder / "checkpoint.pt", IDENTITY, log)

    whole = train("whole", task())
    with pytest.raises(CutOffError):
        train("cut", Stops(task(), at))
    torch.manual_seed(at)
    rest = train("cut", task(), seed=at)
    assert rest.best_epoch == whole.best_epoch
    for ours, theirs in ((rest.ema, whole.ema), (rest.raw, whole.raw)):
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert without_rate(rest.history) == without_rate(whole.history)


def without_rate(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Records without the one value that depends on the machine's speed."""
    return [{name: value for name, value in record.items() if name != "images_per_second"} for record in history]


@pytest.mark.parametrize("key", ["configuration", "vocabulary", "feature set", "data version"])
def test_a_checkpoint_of_another_run_is_an_error(tmp_path, key):
    run_line(tmp_path, Slope())
    other = IDENTITY | {key: "another"}
    told = rf"checkpoint\.pt: a checkpoint of another {key} \({IDENTITY[key]}, expected another\).*delete"
    with pytest.raises(UserError, match=told):
        fit(Line(), Slope(), budget(), tmp_path / "checkpoint.pt", other, lambda record, step: None)


@pytest.mark.parametrize("key", ["code", "inputs"])
def test_a_checkpoint_of_other_code_or_inputs_is_not_continued(tmp_path, capsys, key):
    run_line(tmp_path, Slope(), epochs=1)
    model = Line()
    other = IDENTITY | {key: "another"}
    fit(model, Slope(), budget(epochs=1), tmp_path / "checkpoint.pt", other, lambda record, step: None)
    assert model.w.item() == pytest.approx(0.8, abs=1e-6)
    assert "training starts from the beginning" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_checkpoint_is_an_error(tmp_path, damage):
    run_line(tmp_path, Slope())
    path = tmp_path / "checkpoint.pt"
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"weights"}[damage])
    with pytest.raises(UserError, match=r"checkpoint\.pt: not a readable checkpoint"):
        run_line(tmp_path, Slope())


# ---- the captioner's first stage


def test_the_total_is_the_weighted_sum():
    model, data = captioner(), split()
    losses = losses_of(xe(data, lambda_xe=2.0, lambda_bit=3.0, lambda_rank=5.0), model, np.arange(4), 0, 0)
    expected = 2 * losses["xe"] + 3 * losses["bit"] + 5 * losses["rank"]
    assert losses["total"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(value.isfinite() for value in losses.values()) and losses["rank"] > 0
    assert "rank" not in losses_of(xe(data, lambda_rank=0.0), model, np.arange(4), 0, 0)


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_losses_and_gradients_are_finite(preset):
    small = {name: getattr(method(), name) for name in ("length", "images_per_step", "captions_per_image", "retrieved")}
    experiment = load_experiment("smoke", overrides=[f"method={preset}"])
    values = replace(experiment.method, **small)
    torch.manual_seed(0)
    model = Captioner(SIZES, values, V, D, E)
    task = CaptionerXE(split=split(), method=values, seed=0, num_bits=BITS, evaluate=score_nothing)
    for step in range(6):  # coins of both kinds
        losses = losses_of(task, model, np.arange(4), 0, step)
        gradients = torch.autograd.grad(losses["total"], list(model.parameters()))
        assert all(value.isfinite().all() for value in [*losses.values(), *gradients])


def test_padding_is_supervised_only_where_the_method_says_so():
    model, data = captioner().eval(), split()
    at = np.arange(4)
    rows = make_batch(data, at, 0, 0, 3, 0.999, BITS).rows
    assert not valid_mask(rows).all()
    both = [
        losses_of(xe(data, supervise_padding=flag, lambda_rank=0.0), model, at, 0, 0)["xe"].item() for flag in (1, 0)
    ]
    assert both[0] != both[1]


def dense_ranking_loss(q: Tensor, q_star: Tensor, t: Tensor, near: float, alike: float) -> float:
    total = 0.0
    for i in range(len(q)):
        for j in range(len(q)):
            gap, true = float(q[i] - q[j]), float(q_star[i] - q_star[j])
            if abs(float(t[i] - t[j])) <= near and abs(true) <= alike and true:
                total += max(0.0, abs(true) - (1 if true > 0 else -1) * gap)
    return total / len(q) ** 2


def ranking_of(**changes) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses of one step with own targets, and with these changes."""
    data, at = split(), np.arange(4)
    close = {"delta_tim": 0.5, "delta_sen": 2.0}
    given = [xe(data, **close), xe(data, **close, **changes)]
    found = []
    for task in given:
        torch.manual_seed(0)
        found.append(losses_of(task, captioner(), at, 0, 0))
    return tuple(found)


def test_targets_in_another_numbering_leave_the_other_losses_alone():
    """q and q* are means of the words' new bits: worked out word by word from the probabilities."""
    model, data, changed = captioner().eval(), split(), method(rank_target="renumbered", delta_tim=0.5, delta_sen=2.0)
    batch = make_batch(data, np.arange(4), 0, 0, 3, 0.999, BITS)
    hidden = torch.randn(len(batch.rows), L, SIZES.dim)
    x_0 = encode_bits(batch.rows, BITS)
    losses, own = (
        denoising_losses(model, hidden, batch, x_0, one, True) for one in (changed, replace(changed, rank_target="own"))
    )
    codes = recoded(model.codebook)
    assert sorted(codes.tolist()) == sorted(model.codebook.tolist()) and not torch.equal(codes, model.codebook)
    assert torch.equal(codes, recoded(model.codebook))
    assert torch.equal(codes[[0, -1]], model.codebook[[0, -1]])  # the end and the unknown word
    word, valid = codes.mean(-1), valid_mask(batch.rows)
    probable = model.logits(hidden).softmax(-1).detach()
    q = torch.stack([(probable[i] @ word)[valid[i]].mean() for i in range(len(hidden))])
    q_star = torch.stack([codes[batch.rows[i]][valid[i]].sum() / (BITS * valid[i].sum()) for i in range(len(hidden))])
    assert losses["rank"].item() == pytest.approx(dense_ranking_loss(q, q_star, batch.t, 0.5, 2.0), rel=1e-4)
    assert losses["rank"].item() != pytest.approx(own["rank"].item(), rel=1e-2)
    assert all(torch.equal(losses[name], own[name]) for name in ("xe", "bit"))


def test_shuffled_targets_are_drawn_at_each_step_and_leave_the_other_losses_alone():
    own, shuffled = ranking_of(rank_target="shuffled")
    assert all(torch.equal(own[name], shuffled[name]) for name in ("xe", "bit"))
    assert own["rank"] != shuffled["rank"]
    task = xe(split(), rank_target="shuffled")
    drawn = [task._targets(12, epoch, step).tolist() for epoch, step in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert sorted(drawn[0]) == list(range(12)) and drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) == 3
    assert xe(split())._targets(12, 0, 0) is None


def test_random_keys_leave_all_other_draws_alone():
    """With all keys in both branches they are the ranked ones, dropout and all."""
    data, at, found = split(), np.arange(4), []
    for keys in ("ranked", "random"):
        changes = {"lambda_f": 1.0, "lambda_e": 1.0, "keys": keys}
        model = captioner(**changes)
        torch.manual_seed(3)
        found.append(losses_of(xe(data, **changes), model, at, 0, 0)["total"])
    assert torch.equal(*found)
    few = captioner(keys="random")
    assert [name for name, _ in few.named_parameters()] == [name for name, _ in captioner().named_parameters()]


@pytest.mark.parametrize("changes", [{}, CONTROLS], ids=["own", "controls"])
def test_the_same_seed_is_the_same_bits(tmp_path, changes):
    data = split()

    def train(name: str, seed: int) -> dict[str, Tensor]:
        model, settings = captioner(**changes), budget(images=8, epochs=2, seed=seed)
        torch.manual_seed(len(name))  # whatever was drawn before: dropout is keyed by step as well
        return fit(
            model, xe(data, seed=seed, **changes), settings, tmp_path / name, IDENTITY, lambda record, step: None
        ).raw

    one, two, other = train("one", 1), train("again", 1), train("other", 2)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_xe_training_learns(tmp_path):
    """Eight images by heart: the losses fall."""
    model, data = captioner(), split()
    settings = budget(epochs=40, images=8, evaluate_every=40, learning_rate=lambda step: 0.01)
    outcome = fit(model, xe(data), settings, tmp_path / "c.pt", IDENTITY, lambda record, step: None)
    first, last = outcome.history[0], outcome.history[-1]
    assert last["loss/xe"] < 0.7 * first["loss/xe"] and last["loss/bit"] < 0.7 * first["loss/bit"]


# ---- the second cascade


def test_words_are_replaced_at_the_rate_and_only_before_the_end():
    rng = np.random.default_rng(0)
    rows = token_rows(rng, 20_000)
    noisy = rows.copy()
    corrupt_words(noisy, 0.15, V, rng)
    assert ((rows == 0) == (noisy == 0)).all()  # neither ends nor padding change, and no new end appears
    words = rows > 0
    replaced = (rows != noisy)[words].mean()
    # a random word of V - 2 is the same one at times
    assert replaced == pytest.approx(0.15 * (1 - 1 / (V - 2)), abs=4 * math.sqrt(0.15 * 0.85 / words.sum()))
    assert noisy.max() <= V - 1 and (noisy[rows != noisy] < V - 1).all()  # never the unknown word
    assert set(noisy[rows != noisy].tolist()) == set(range(1, V - 1))


def test_the_copies_of_a_caption_are_corrupted_independently():
    """0.15 each, not 0.15 five times over the same array (which would be 0.556), and not all equal."""
    data = split(images=400)
    first = token_rows(np.random.default_rng(1), 400)
    task = xe(data, first_cascade=first, captions_per_image=5)
    bits = cascade_bits(task, captioner(cascade=True), np.arange(400), 0)
    copies = decode_bits(bits, V).numpy().reshape(400, 5, L)
    changed = copies != first[:, None]
    words = np.broadcast_to(first[:, None] > 0, changed.shape)
    assert not changed[~words].any()
    rate = 0.15 * (1 - 1 / (V - 2))
    tolerance = 4 * math.sqrt(rate * (1 - rate) / (words.sum() / 5))
    for copy_ in range(5):
        assert changed[:, copy_][words[:, copy_]].mean() == pytest.approx(rate, abs=tolerance)
    both = (changed[:, 0] & changed[:, 1])[words[:, 0]].mean()
    assert both == pytest.approx(rate**2, abs=4 * math.sqrt(rate**2 / (words.sum() / 5)))
    assert np.array_equal(first, token_rows(np.random.default_rng(1), 400))  # the file's rows stay as they are


def test_corruption_is_keyed_by_image_and_epoch():
    data, first = split(), token_rows(np.random.default_rng(1), 8)
    task, model = xe(data, first_cascade=first), captioner(cascade=True)
    one = cascade_bits(task, model, np.array([1, 4, 6]), 2)
    two = cascade_bits(task, model, np.array([6, 1]), 2)
    assert torch.equal(one[6:9], two[:3]) and torch.equal(one[:3], two[3:])
    epochs = torch.stack([cascade_bits(task, model, np.arange(8), epoch) for epoch in range(4)])
    assert not torch.equal(epochs[0], epochs[1])
    assert cascade_bits(xe(data), model, np.arange(2), 0) is None


def test_the_second_stage_trains():
    data, first = split(), token_rows(np.random.default_rng(1), 8)
    model = captioner(cascade=True)
    losses = losses_of(xe(data, first_cascade=first), model, np.arange(4), 0, 0)
    assert losses["total"].isfinite() and "rank" in losses
    assert "rank" not in losses_of(xe(data, first_cascade=first, rank_in_cascade=False), model, np.arange(4), 0, 0)


# ---- guided self-critical training


def test_the_reward_sees_the_end():
    """A caption cut off before its end scores lower than the whole one; without end tokens both would be equal."""
    references = [[[4, 5, 6, 0], [4, 5, 6, 0]], [[7, 8, 0]], [[9, 3, 0]]]
    reward = CiderD(references)
    rows = torch.tensor([[4, 5, 6, 0, 0, 0], [4, 5, 6, 4, 5, 6], [4, 5, 0, 0, 0, 0]])
    whole, runs_on, short = rewards(reward, rows, np.zeros(3, int)).tolist()
    assert sentence(rows[0].numpy()) == [4, 5, 6, 0] and sentence(rows[1].numpy()) == [4, 5, 6, 4, 5, 6]
    assert whole == pytest.approx(10 * 4 / 4, rel=1e-5)  # all four orders of n-grams agree: the best there is
    assert runs_on < whole and short < whole
    # without its end the good caption itself would score as low as one that is cut off there
    assert reward.score([[4, 5, 6]], [0])[0] < whole


def test_empty_and_endless_captions_have_a_finite_loss():
    reward = CiderD([[[4, 5, 0]], [[6, 0]]])
    log_p = torch.randn(2, 4, V).log_softmax(-1).requires_grad_()
    sample, baseline = torch.tensor([[0, 0, 0, 0], [4, 5, 4, 5]]), torch.zeros(2, 4, dtype=torch.long)
    losses = critical_losses(log_p, sample, *(rewards(reward, rows, np.array([0, 1])) for rows in (sample, baseline)))
    (gradient,) = torch.autograd.grad(losses["total"], log_p)
    assert losses["total"].isfinite() and gradient.isfinite().all()


def test_the_critical_loss_by_hand():
    """Two rows of two and one valid tokens: the mean over the three of -log p times the gain in CIDEr-D."""
    reward = CiderD([[[4, 0]], [[5, 6, 0]]])
    torch.manual_seed(0)
    log_p = torch.randn(2, 3, V).log_softmax(-1)
    sample, baseline = torch.tensor([[4, 0, 0], [0, 0, 0]]), torch.tensor([[5, 0, 0], [5, 6, 0]])
    images = np.array([0, 1])
    gained = reward.score([[4, 0], [0]], images) - reward.score([[5, 0], [5, 6, 0]], images)
    expected = -(gained[0] * (log_p[0, 0, 4] + log_p[0, 1, 0]) + gained[1] * log_p[1, 0, 0]) / 3
    losses = critical_losses(log_p, sample, *(rewards(reward, rows, images) for rows in (sample, baseline)))
    assert losses["total"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert gained[0] > 0 > gained[1]


def test_one_row_of_each_image_stands_for_the_teacher():
    data = split()
    teacher = token_rows(np.random.default_rng(3), 8)
    task = rl(data, teacher)
    counts = np.zeros(3)
    for epoch in range(60):
        sample = torch.full((24, L), V - 1)
        rows = torch.from_numpy(np.repeat(teacher, 3, axis=0)).long()
        task._guide(sample, rows, np.arange(8), epoch)
        guided = (sample == rows).all(1).view(8, 3)
        assert (guided.sum(1) == 1).all()
        counts += guided.sum(0).numpy()
    assert counts == pytest.approx(160, abs=4 * math.sqrt(480 * 2 / 9))


@pytest.mark.parametrize(
    ("cascaded", "guide_cascade", "guided"), [(False, False, 1), (True, False, 0), (True, True, 1)]
)
def test_the_second_network_has_a_teachers_row_where_it_is_asked_for(cascaded, guide_cascade, guided, monkeypatch):
    data, teacher = split(), token_rows(np.random.default_rng(3), 8)
    calls = []
    monkeypatch.setattr(CaptionerRL, "_guide", lambda self, sample, *of: calls.append(sample))
    task = replace(rl(data, teacher, guide_cascade=guide_cascade), first_cascade=teacher if cascaded else None)
    losses_of(task, captioner(cascade=cascaded), np.arange(4), 0, 0)
    assert len(calls) == guided


def test_a_better_teacher_becomes_more_probable():
    """The teacher's captions are references: after one small step of the loss their words gain probability."""
    data = split()
    teacher = np.stack([rows[0] for rows in data.captions])
    model, task = captioner().eval(), rl(data, teacher, self_condition=0.0)
    rows = torch.from_numpy(np.repeat(teacher, 3, axis=0)).long()
    batch = replace(make_batch(data, np.arange(8), 0, 0, 3, task.method.t_max, BITS), rows=rows)

    @torch.no_grad()
    def log_p() -> Tensor:
        """Mean over the teacher's words, in the very pass that the loss is taken of."""
        context = model.encode(batch.grid, batch.global_, batch.retrieved, batch.retrieved_mask)
        hidden = denoise_once(model, batch, encode_bits(rows, BITS), context, self_condition=False)
        chosen = model.head(hidden).log_softmax(-1).gather(-1, rows.unsqueeze(-1)).squeeze(-1)
        return chosen[valid_mask(rows)].mean()

    before = log_p()
    losses = losses_of(task, model, np.arange(8), 0, 0)
    assert losses["reward_sample"] > losses["reward_baseline"]  # the teacher's rows are among the samples
    gradients = torch.autograd.grad(losses["total"], list(model.parameters()))
    with torch.no_grad():
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            p -= 0.01 * gradient
    assert log_p() > before


def test_a_step_leaves_the_document_frequencies_alone():
    data = split()
    task = rl(data, token_rows(np.random.default_rng(3), 8))
    before = dict(task.reward.df.counts)
    for step in range(3):
        losses_of(task, captioner(), np.arange(4), 0, step)
    assert dict(task.reward.df.counts) == before and task.reward.df.images == 8


def test_rl_is_reproducible_and_its_images_keep_their_references():
    data, teacher = split(), token_rows(np.random.default_rng(3), 8)
    task = rl(data, teacher)
    totals = []
    for _ in range(2):
        torch.manual_seed(5)
        totals.append(losses_of(task, captioner(), np.array([6, 1, 3, 2]), 1, 2)["total"].item())
    assert totals[0] == totals[1]
    # a reference of image 6 is worth most for image 6
    row = torch.from_numpy(data.captions[6][:1]).long()
    scores = [rewards(task.reward, row, np.array([image])).item() for image in range(8)]
    assert int(np.argmax(scores)) == 6


def test_references_of_the_batch_alone():
    """The released variant scores against the captions in the batch: here three of an image's four."""
    data = split()
    task = rl(data, token_rows(np.random.default_rng(3), 8), rl_references="batch")
    batch = make_batch(data, np.array([5, 2]), 0, 0, 3, 0.999, BITS)
    reward, images = task._reward_of(batch, np.array([5, 2]))
    assert images.tolist() == [0, 0, 0, 1, 1, 1] and reward.df is task.reward.df
    expected = CiderD([[sentence(row) for row in batch.rows[:3].numpy()]], task.reward.df)
    row = batch.rows[1]
    assert rewards(reward, row[None], np.array([0])).item() == pytest.approx(expected.score([sentence(row.numpy())])[0])


# ---- the teacher


def test_teacher_stages_have_finite_losses_and_gradients():
    data = split()
    torch.manual_seed(0)
    model = Teacher(SIZES, method(), V, D, E)
    common = {"split": data, "method": method(), "seed": 0, "evaluate": score_nothing}
    for task in (TeacherXE(**common), TeacherRL(**common, reward=build_reward(data))):
        torch.manual_seed(0)
        losses = losses_of(task, model, np.arange(4), 0, 0)
        gradients = torch.autograd.grad(losses["total"], list(model.parameters()))
        assert all(value.isfinite().all() for value in [*losses.values(), *gradients])
        torch.manual_seed(0)
        assert losses_of(task, model, np.arange(4), 0, 0)["total"].item() == losses["total"].item()


def test_a_sample_is_compared_with_the_others_of_its_image():
    found = mean_of_others(torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0]), captions=3)
    assert found.tolist() == [4.0, 3.5, 1.5, 1.5, 1.5, 0.0]
    assert mean_of_others(torch.tensor([2.0, 5.0]), captions=1).tolist() == [0.0, 0.0]


def test_the_samples_of_a_teacher_get_better():
    data = split()
    torch.manual_seed(0)
    model = Teacher(replace(SIZES, dropout=0.0, visual_dropout=0.0), method(), V, D, E)
    task = TeacherRL(split=data, method=method(), seed=0, evaluate=score_nothing, reward=build_reward(data))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    gained = []
    for step in range(60):
        losses = losses_of(task, model, np.arange(8), 0, step)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        gained.append(losses["reward_sample"].item())
    assert np.mean(gained[-10:]) > 1.2 * np.mean(gained[:10])


def test_teacher_xe_counts_words_and_one_end():
    """By hand: mean negative log-probability, smoothing off, over the words and the first 0 of each row."""
    data = split()
    torch.manual_seed(0)
    model = Teacher(SIZES, method(), V, D, E).eval()
    values = method(label_smoothing=0.0)
    task = TeacherXE(split=data, method=values, seed=0, evaluate=score_nothing)
    rows = make_batch(data, np.arange(4), 0, 0, 3, values.t_max, 1).rows
    log_p = model(rows, model.encode(*data.features(np.arange(4)))).log_softmax(-1)
    terms = []
    for row, table in zip(rows.tolist(), log_p, strict=True):
        words = row[: row.index(0) + 1]
        terms += [-table[at, word].item() for at, word in enumerate(words)]
    found = losses_of(task, model, np.arange(4), 0, 0)["xe"].item()
    assert found == pytest.approx(sum(terms) / len(terms), rel=1e-5)


# ---- the command


def trained(folder: Path, run: str, stage: str) -> None:
    assert tiny.rdt(folder, "train", f"{tiny.NAME}.yaml", "--run", run, "--stage", stage) == 0


def test_selection_looks_at_val_and_never_at_test(prepared, tmp_path, monkeypatch):
    """Other test captions leave every bit of a training as it is; other val captions do not.

    The first image of a changed split gets as references what the network said of it, the others what no network
    says: the score on val is then above 0, whatever so short a training has taught it.
    """
    said: list[list[str]] = []

    def spoken(selection: Selection, model: nn.Module) -> dict[str, float]:
        said.append(selection.describe(model))
        return score(selection, model)

    score = Selection.__call__
    monkeypatch.setattr(Selection, "__call__", spoken)

    def curves(name: str, changed: str | None) -> list[dict[str, str]]:
        folder = tiny.copied(prepared, tmp_path / name)
        _, planned, paths = tiny.opened(folder)
        if changed:
            file = paths.scenes("primary") / "dataset.json"
            document = json.loads(file.read_text())
            references = iter([said[0][0].split()])
            for image in (image for image in document["images"] if image["split"] == changed):
                tokens = next(references, ["unheard"])
                for caption in image["sentences"]:
                    caption["tokens"] = tokens
            file.write_text(json.dumps(document))
        run = tiny.run_id(planned, "teacher")
        trained(folder, run, "xe")
        return list(csv.DictReader((paths.stage(run, "xe") / "curves.csv").open()))

    untouched = curves("untouched", None)
    assert curves("test", "test") == untouched
    other = curves("val", "val")
    assert other != untouched and float(other[0]["val/CIDEr"]) > 0


def test_rl_starts_from_the_raw_weights_of_its_own_configuration(prepared, tmp_path, capsys):
    folder = tiny.copied(prepared, tmp_path / "rl")
    _, planned, paths = tiny.opened(folder)
    teacher = tiny.run_id(planned, "teacher")
    trained(folder, teacher, "xe")
    config = paths.stage(teacher, "xe") / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"vocabulary": "0" * 64}))
    assert tiny.rdt(folder, "train", f"{tiny.NAME}.yaml", "--run", teacher, "--stage", "rl") == 2
    assert "config.json: weights of another vocabulary" in capsys.readouterr().err
    assert not paths.stage(teacher, "rl").exists()


LONG = tiny.settings(
    training={
        "xe_epochs": 30,
        "rl_epochs": 20,
        "teacher_xe_epochs": 20,
        "teacher_rl_epochs": 12,
        "evaluate_every": 5,
        "checkpoint_minutes": 0.0005,
    }
)


def start(folder: Path, run: str, stage: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "rdt", "train", f"{tiny.NAME}.yaml", "--run", run, "--stage", stage]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def kill_and_continue(folder: Path, run: str, stage: str, checkpoint: Path, kills: int) -> int:
    """SIGKILL the training at random moments after its checkpoint has moved, then let it end; kills that hit."""
    moments = random.Random(f"{run}/{stage}")
    hits = 0
    for _ in range(kills):
        process = start(folder, run, stage)
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == seen):
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        _, log = process.communicate()
        hits += process.returncode == -signal.SIGKILL
    process = start(folder, run, stage)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert "continuing at epoch" in log
    return hits


@pytest.mark.slow
def test_a_killed_training_ends_in_the_same_bits(prepared, tmp_path):
    """The real command, killed several times in each kind of stage, against the same command left alone."""
    whole, cut = (tiny.copied(prepared, tmp_path / name, LONG) for name in ("whole", "cut"))
    _, planned, paths = tiny.opened(whole)
    _, _, cut_paths = tiny.opened(cut)
    teacher, captions = tiny.run_id(planned, "teacher"), tiny.run_id(planned, "rdt")
    for run, stage, kills in ((teacher, "xe", 1), (teacher, "rl", 2), (captions, "xe", 3), (captions, "rl", 2)):
        if (run, stage) == (captions, "rl"):  # it reads the teacher's captions of the train split
            for folder in (whole, cut):
                assert tiny.rdt(folder, "captions", f"{tiny.NAME}.yaml", "--run", teacher, "--stage", "rl") == 0
        trained(whole, run, stage)
        ours, theirs = cut_paths.stage(run, stage), paths.stage(run, stage)
        assert kill_and_continue(cut, run, stage, ours / "checkpoint.pt", kills) >= 1
        for name in ("model.safetensors", "raw.safetensors", "config.json"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), (run, stage, name)
        curves = [list(csv.DictReader((folder / "curves.csv").open())) for folder in (ours, theirs)]
        assert without_rate(curves[0]) == without_rate(curves[1])
        assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in theirs.iterdir())


def test_a_checkpoint_holds_a_tensor_for_each_parameter(tmp_path):
    """As it did before the loop kept them in one: checkpoints of either code continue the same training."""
    data, path = split(), tmp_path / "checkpoint.pt"
    model = captioner()
    fit(model, xe(data), budget(images=8, epochs=1), path, IDENTITY, lambda record, step: None)
    content = torch.load(path, weights_only=True)
    shapes = [parameter.shape for parameter in model.parameters()]
    assert [part.shape for part in content["ema"]] == shapes
    assert [part.shape for part in content["optimizer"]["mean"]] == shapes
    assert [part.shape for part in content["optimizer"]["square"]] == shapes
    assert [steps.item() for steps in content["optimizer"]["steps"]] == [2] * len(shapes)
    assert all(torch.equal(content["model"][name], value) for name, value in model.state_dict().items())
