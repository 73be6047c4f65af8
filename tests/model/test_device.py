"""Where training computes, and how exactly."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity

from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.settings import TrainingSettings
from rdt.model.device import open_device
from rdt.training.loop import fit
from tests.support import tiny, together
from tests.training import test_training as small

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


def training(device: str) -> TrainingSettings:
    return replace(load_experiment("smoke").training, device=device)


@pytest.fixture(autouse=True)
def as_before():
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.utils.deterministic.fill_uninitialized_memory = filled
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)


def test_the_cpu_is_the_default_and_exact():
    assert load_experiment("smoke").training.device == "cpu"
    assert open_device(training("cpu"), "mine.yaml") == torch.device("cpu")
    assert torch.get_deterministic_debug_mode() == 2  # an operation that cannot repeat itself is an error
    assert not torch.utils.deterministic.fill_uninitialized_memory  # else each new tensor is written twice
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_memory_that_tensors_had_is_kept_for_the_next():
    """Else the four of each round, 32 MB, would be given back to the system and come as 8,192 new pages."""

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            [torch.zeros(2**21) for _ in range(4)]
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    open_device(training("cpu"), "mine.yaml")
    new_pages()
    assert new_pages() < 1000


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert open_device(training("auto"), "mine.yaml") == torch.device("cpu")
    with pytest.raises(
        UserError, match=r"mine\.yaml: training\.device is cuda, and torch finds no GPU; set it to auto"
    ):
        open_device(training("cuda"), "mine.yaml")


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert open_device(training("auto"), "mine.yaml") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert open_device(training("cuda"), "mine.yaml") == torch.device("cuda", 1)
    assert chosen == [torch.device("cuda", 0), torch.device("cuda", 1)]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"mine\.yaml: process 3 on this machine finds 2 GPUs; let torchrun"):
        open_device(training("cuda"), "mine.yaml")


# ---- precision


@pytest.mark.parametrize("stage", ["xe", "xe2", "teacher xe"])
def test_the_gradient_of_bfloat16_is_near_that_of_float32(tmp_path, stage):
    """Also where a first pass without gradient has gone before: self-conditioning, in every step of this xe."""
    task, model = together.stages()[stage]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name, mixed in (("exact", False), ("mixed", True)):
        model.load_state_dict(before)
        together.step(name, task, model, tmp_path, bfloat16=mixed)
    exact, mixed = (together.gradient(tmp_path, name) for name in ("exact", "mixed"))
    assert mixed.dtype == torch.float32 and not torch.equal(exact, mixed)
    assert cosine_similarity(exact, mixed, dim=0) > 0.99
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("exact", "mixed"))
    losses = [name for name in one if name.startswith("loss/")]
    assert [two[name] for name in losses] == pytest.approx([one[name] for name in losses], rel=0.02)


def test_training_in_bfloat16_ends_near_float32(tmp_path):
    def train(mixed: bool) -> float:
        settings = small.budget(epochs=20, images=8, evaluate_every=20, learning_rate=lambda s: 0.01, bfloat16=mixed)
        log = lambda record, step: None  # noqa: E731
        outcome = fit(small.captioner(), small.xe(small.split()), settings, tmp_path / f"{mixed}", small.IDENTITY, log)
        assert {weight.dtype for part in (outcome.raw, outcome.ema) for weight in part.values()} == {torch.float32}
        return outcome.history[-1]["loss/xe"]

    assert train(True) == pytest.approx(train(False), rel=0.05)


# ---- the commands


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_every_stage_in_bfloat16_with_a_worker(prepared, tmp_path, device):
    """The weights on disk are float32, and networks and captions go on from them."""
    mixed = {"device": device, "precision": "bfloat16", "workers": 1, "xe_epochs": 1, "rl_epochs": 1}
    folder = tiny.copied(prepared, tmp_path / "mixed", tiny.settings(training=mixed))
    _, planned, paths = tiny.opened(folder)
    teacher, captioner = tiny.run_id(planned, "teacher"), tiny.run_id(planned, "rdt")
    for run, stage in ((teacher, "xe"), (teacher, "rl"), (captioner, "xe"), (captioner, "rl")):
        small.trained(folder, run, stage)
        for name in ("model", "raw"):
            weights = load_file(paths.stage(run, stage) / f"{name}.safetensors").values()
            assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights)
        if stage == "rl":
            assert tiny.rdt(folder, "captions", f"{tiny.NAME}.yaml", "--run", run, "--stage", stage) == 0
    assert len(json.loads(paths.captions(captioner, "rl", "primary", "test").read_text())) == 6
