"""``rdt why``: nothing is stale after a finished run; then what was changed, and only that, is named."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import yaml

from rdt.commands.why import explanation
from rdt.provenance.manifest import manifest_path, write_manifest
from rdt.provenance.staleness import Stale, reasons
from rdt.provenance.steps import Chain, Step
from tests.support import finished as suite
from tests.support import tiny

ROOT = f"results/{tiny.NAME}"
REPORTS = f"reports/{tiny.NAME}"
CELL = "VII/RDT◇/D@3"


# ---- one step


class Nothing(Chain):
    """A chain in which no step makes an input."""

    def __init__(self) -> None:
        self._makers, self.imported = {}, {}


@pytest.fixture
def step(tmp_path, monkeypatch) -> Step:
    """A step that has been made, from one file, with two settings."""
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("1")
    Path("out.json").write_text("{}")
    made = Step("made", Path("out.json"), "rdt.files", {"a": {"b": 1}, "c": (1, 2)}, {"in": Path("in.txt")})
    write_manifest(
        made.target,
        command=[],
        configuration=made.configuration,
        code=made.code,
        inputs=made.inputs,
        seed=0,
        started=time.time(),
    )
    return made


def changed(step: Step, **values: object) -> Step:
    return Step(**(vars(step) | values))


def test_nothing_makes_a_fresh_step_stale(step):
    assert reasons(Nothing(), step) == []


def test_a_changed_byte_is_a_reason(step):
    step.target.write_text("[]")
    assert reasons(Nothing(), step) == ["its file out.json is not the one that was made: rdt verify --repair"]


def test_parameters(step):
    now = changed(step, configuration={"a": {"b": 2, "d": "x"}})
    assert reasons(Nothing(), now) == [
        "parameter a.b is 2, it was 1",
        'parameter a.d is "x", it was absent',
        "parameter c is absent, it was [1, 2]",
    ]


def test_inputs(step):
    Path("in.txt").write_text("2")
    Path("new.txt").write_text("")
    assert reasons(Nothing(), step) == ["input in (in.txt) has changed"]
    now = changed(step, inputs={"new": Path("new.txt")})
    assert reasons(Nothing(), now) == [
        "input new (new.txt) is read now, it was not",
        "input in (in.txt) was read, it is not now",
    ]


def test_modules(step):
    path = manifest_path(step.target)
    manifest = json.loads(path.read_text())
    assert set(manifest["code"]["modules"]) == {"rdt.files"}  # what it imports of rdt changes no result
    manifest["code"]["modules"] = {"rdt.files": "0" * 12, "rdt.gone": "1" * 12}
    path.write_text(json.dumps(manifest))
    assert reasons(Nothing(), step) == ["module rdt.files has changed", "module rdt.gone was used, it is not now"]
    manifest["code"]["modules"] = {}
    path.write_text(json.dumps(manifest))
    assert reasons(Nothing(), step) == ["module rdt.files is used now, it was not"]


def test_what_is_missing(step):
    step.target.unlink()
    assert reasons(Nothing(), step) == ["its file out.json is missing"]
    manifest_path(step.target).unlink()
    assert reasons(Nothing(), step) == ["it has not been made"]


def test_a_manifest_of_an_earlier_version(step):
    path = manifest_path(step.target)
    manifest = json.loads(path.read_text())
    del manifest["code"]["modules"]
    path.write_text(json.dumps(manifest))
    (told,) = reasons(Nothing(), step)
    assert told.startswith("out.json.manifest.json was written by an earlier version")


def test_a_reason_is_told_once_with_some_of_its_outputs():
    found = [Stale(Path(f"r{n}"), ("module m has changed", *(["x"] if n == 4 else []))) for n in range(5)]
    assert explanation("t", found) == [
        "t is stale:",
        "  module m has changed: r0, r1, r2 and 2 more",
        "  x: r4",
    ]


# ---- a whole experiment


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


def why(folder: Path, target: str) -> list[str]:
    done = suite.rdt(folder, "why", target)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def settings(folder: Path, **groups: dict) -> None:
    path = folder / suite.FILE
    content = yaml.safe_load(path.read_text())
    for group, values in groups.items():
        content[group] |= values
    path.write_text(yaml.safe_dump(content))


@pytest.mark.slow
@pytest.mark.parametrize("target", [CELL, f"{REPORTS}/claims.md", "tables", "encoder"])
def test_a_finished_experiment_is_up_to_date(finished, target):
    """So the manifests say what the chain says, for every step."""
    (line,) = why(finished, target)
    assert line.startswith(f"{target} is up to date")


@pytest.mark.slow
def test_a_changed_module_names_what_it_makes_stale(copy):
    with (copy / "rdt/losses.py").open("a") as file:
        file.write("UNUSED = 1\n")
    run = tiny.run_id(tiny.opened(copy)[1], "rdt")
    line = f"  module rdt.losses has changed: {ROOT}/runs/"
    told = why(copy, CELL)
    assert told[0] == f"{CELL} is stale:" and len(told) == 2 and told[1].startswith(line)
    assert f"{ROOT}/runs/{run}/xe" in told[1]
    assert len(why(copy, f"{ROOT}/features/primary/grid.npy")) == 1


@pytest.mark.slow
def test_a_changed_parameter_of_a_step_is_named_at_the_step(copy):
    settings(copy, encoder={"threads": 2})  # how it is trained, not what
    assert len(why(copy, f"{ROOT}/index/primary")) == 1
    settings(copy, encoder={"epochs": 2})
    assert why(copy, f"{ROOT}/index/primary") == [
        f"{ROOT}/index/primary is stale:",
        f"  parameter encoder.epochs is 2, it was 1: {ROOT}/encoder",
    ]


@pytest.mark.slow
def test_another_setting_of_a_training_is_another_run_and_the_difference_is_told(copy):
    before = tiny.run_id(tiny.opened(copy)[1], "rdt")
    settings(copy, override={"lambda_rank": 4})
    after = tiny.run_id(tiny.opened(copy)[1], "rdt")
    told = why(copy, f"{ROOT}/runs/{after}/xe")
    assert told[1:] == [
        f"  it has not been made: {ROOT}/runs/{after}/xe",
        f"  it differs from {before}: parameter method.lambda_rank is 4.0, it was 5.0: {ROOT}/runs/{after}/xe",
    ]
    done = suite.rdt(copy, "why", f"{ROOT}/runs/{before}/xe")
    assert done.returncode == 2 and "is nothing that experiment tiny makes" in done.stderr


@pytest.mark.slow
def test_changed_files_of_the_repository_and_of_an_earlier_step_are_named(copy):
    with (copy / "reports/published/table_VII.csv").open("a") as file:
        file.write("\n")
    (copy / f"{ROOT}/vocabulary/primary.json").unlink()
    told = why(copy, f"{REPORTS}/tables")
    missing = f"  its file {ROOT}/vocabulary/primary.json is missing: {ROOT}/vocabulary/primary.json"
    published = "  input published/VII (reports/published/table_VII.csv) has changed"
    assert told[1:] == [missing, f"{published}: {REPORTS}/tables"]
