"""Several processes make the steps of one: gradients, draws, and a training that is killed and continued."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rdt.features.split import Split
from rdt.features.store import FeatureStore, StoreWriter
from rdt.model.dropout import multipliers
from rdt.training import parallel
from rdt.training.loader import batches
from rdt.training.loop import fit
from tests.support import tiny, together
from tests.support.repository import REPOSITORY
from tests.training import test_training as small

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "--"]
LOOPBACK = {"PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


# ---- one step


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the same steps, made by this process and by two others."""
    alone, both = (tmp_path_factory.mktemp(name) for name in ("alone", "both"))
    together.run(alone)
    command = [*TORCHRUN, "tests.support.together", str(both)]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | LOOPBACK, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return alone, both


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("stage", together.stages())
def test_the_gradient_is_that_of_one_process(steps, stage, dtype, tolerance):
    """Of two and three images a process: means, pairs, dropout and sampled words are those of all five."""
    one, two = (together.gradient(folder, f"{stage}, {dtype}") for folder in steps)
    assert one.dtype == getattr(torch, dtype) and one.norm() > 1e-3
    assert (one - two).norm() < tolerance * one.norm()


@pytest.mark.parametrize("stage", together.stages())
def test_the_recorded_losses_are_those_of_one_process(steps, stage):
    one, two = (json.loads((folder / f"{stage}, float32.json").read_text()) for folder in steps)
    names = [name for name in one if name.startswith("loss/")] + ["grad_norm"]
    assert len(names) >= 2 and list(one) == list(two)
    assert [two[name] for name in names] == pytest.approx([one[name] for name in names], rel=1e-5)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("images", [5, 16, 17])
def test_the_shares_of_a_batch_are_all_of_it(monkeypatch, world, images):
    monkeypatch.setattr(parallel, "world", lambda: world)
    covered = []
    for rank in range(world):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        share = parallel.share_of(images)
        covered += range(share.first, share.first + share.own)
        assert share.total == images and abs(share.own - images / world) < 1
    assert covered == list(range(images))


def test_rows_are_divided_like_their_images():
    assert parallel.Share(2, 3, 5).times(12) == parallel.Share(8, 12, 20)
    with pytest.raises(ValueError, match="4 rows are no multiple of the 3"):
        parallel.Share(2, 3, 5).times(4)


def test_a_draw_that_cannot_be_shared_is_an_error():
    """Else each process would draw the same numbers for other rows, in silence."""
    with parallel.taking(parallel.Share(0, 2, 4)), parallel._SharedDraws():
        multipliers(torch.ones(2, 3), 0.5)
        with pytest.raises(NotImplementedError, match="randn"):
            torch.randn(2, 3)


# ---- the batches


def mapped(folder: Path) -> Split:
    """The split of the tests with its features in memory-mapped files."""
    data = small.split()
    writer = StoreWriter(folder, data.image_ids.tolist(), [], small.D, small.E)
    writer.grid[:], writer.global_[:] = data.store.grid, data.store.global_
    writer.flush()
    store = FeatureStore.open(folder)
    assert isinstance(store.grid, np.memmap)
    return Split(data.image_ids, store, data.feature_rows, data.captions, data.retrieved)


def test_workers_make_the_same_batches_in_other_processes(tmp_path):
    task = small.xe(mapped(tmp_path))
    places = list(small.budget(images=8, epochs=3).places(0, 1))
    assert len(places) == 5

    def made(workers: int) -> list:
        make = lambda positions, epoch: (task.batch(positions, epoch), os.getpid())  # noqa: E731
        return list(batches(make, places, workers, torch.device("cpu")))

    here, there = made(0), made(2)
    assert {process for _, process in here} == {os.getpid()}
    assert len({process for _, process in there}) == 2 and os.getpid() not in {process for _, process in there}
    for (one, _), (two, _), (positions, _) in zip(here, there, places, strict=True):
        assert np.array_equal(one.positions, positions) and np.array_equal(two.positions, positions)
        for name in ("grid", "global_", "rows", "retrieved", "retrieved_mask", "t", "noise"):
            assert torch.equal(getattr(one, name), getattr(two, name))


def test_a_training_does_not_depend_on_its_workers(tmp_path):
    """Nor where it is continued in the middle of an epoch."""
    task = small.xe(mapped(tmp_path))

    def train(name: str, workers: int, task=task) -> dict[str, torch.Tensor]:
        settings = small.budget(images=8, epochs=3, workers=workers, checkpoint_seconds=0.0)
        log = lambda record, step: None  # noqa: E731
        return fit(small.captioner(), task, settings, tmp_path / name / "c.pt", small.IDENTITY, log).raw

    alone, helped = train("alone", 0), train("helped", 2)
    with pytest.raises(small.CutOffError):
        train("cut", 2, small.Stops(task, at=3))
    rest = train("cut", 1)
    for name, weight in alone.items():
        assert torch.equal(weight, helped[name]) and torch.equal(weight, rest[name])


# ---- the command


def test_more_processes_than_images_of_a_step_are_an_error(prepared, tmp_path, monkeypatch, capsys):
    folder = tiny.copied(prepared, tmp_path / "many")
    _, planned, _ = tiny.opened(folder)
    monkeypatch.setattr(parallel, "world", lambda: 5)
    monkeypatch.setattr(parallel, "rank", lambda: 0)
    run = tiny.run_id(planned, "rdt")
    assert tiny.rdt(folder, "train", f"{tiny.NAME}.yaml", "--run", run, "--stage", "xe") == 2
    assert "5 processes train together, and a step has 4 images; start" in capsys.readouterr().err


def start(folder: Path, run: str) -> subprocess.Popen:
    """The training of a captioner by two processes."""
    command = [*TORCHRUN, "rdt", "train", f"{tiny.NAME}.yaml", "--run", run, "--stage", "xe"]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=os.environ | LOOPBACK, stdout=log, stderr=log)


def children(process: int) -> list[int]:
    """Processes that ``process`` has started and that have not ended."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def running(process: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def kill(folder: Path, run: str, checkpoint: Path, launcher: bool) -> None:
    """SIGKILL one of the two processes, or torchrun itself, at a random moment after the checkpoint has moved."""
    process = start(folder, run)
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.005)
    time.sleep(random.Random(launcher).uniform(0, 0.2))
    both = children(process.pid)
    assert len(both) == 2
    os.kill(process.pid if launcher else both[1], signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    ended = time.monotonic() + 120
    while any(map(running, both)):
        assert time.monotonic() < ended, "the processes have outlived torchrun"
        time.sleep(0.05)


def finish(folder: Path, run: str) -> str:
    process = start(folder, run)
    assert process.wait(timeout=240) == 0, (folder / "log").read_text()
    return (folder / "log").read_text()


@pytest.mark.slow
def test_two_processes_that_are_killed_and_continued_end_in_the_same_bits(prepared, tmp_path):
    """Killed in the middle of an epoch, with workers and without, against two left alone and one left alone."""
    epochs = {"xe_epochs": 12, "evaluate_every": 4, "checkpoint_minutes": 0.0005}
    plain, helped = tiny.settings(training=epochs), tiny.settings(training=epochs | {"workers": 1})
    names = {"cut": helped, "whole": plain, "alone": plain}
    folders = {name: tiny.copied(prepared, tmp_path / name, content) for name, content in names.items()}
    _, planned, _ = tiny.opened(folders["whole"])
    run = tiny.run_id(planned, "rdt")
    made = {name: tiny.opened(folder)[2].stage(run, "xe") for name, folder in folders.items()}
    for launcher in (False, True):
        kill(folders["cut"], run, made["cut"] / "checkpoint.pt", launcher)
    assert finish(folders["cut"], run).count("continuing at epoch") == 1
    finish(folders["whole"], run)
    small.trained(folders["alone"], run, "xe")
    for name in ("model.safetensors", "raw.safetensors", "config.json"):
        assert (made["cut"] / name).read_bytes() == (made["whole"] / name).read_bytes(), name
    assert sorted(path.name for path in made["whole"].iterdir()) == sorted(path.name for path in made["cut"].iterdir())
    cut, whole, alone = (list(csv.DictReader((folder / "curves.csv").open())) for folder in made.values())
    assert small.without_rate(cut) == small.without_rate(whole)
    for ours, theirs in zip(whole, alone, strict=True):
        assert float(ours["loss/total"]) == pytest.approx(float(theirs["loss/total"]), rel=1e-3)
