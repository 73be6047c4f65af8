"""pyproject.toml, requirements.lock and environment.yml say the same; the tools read their settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from rdt.commands.doctor import locked_versions, normalised, required_packages
from tests.support.repository import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_lock_holds_exact_public_versions_once_each():
    lines = [line for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert len(locked_versions()) == len(lines) > 100


def test_the_lock_satisfies_pyproject():
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, requirements):
        assert requirement.specifier.contains(locked_versions()[normalised(requirement.name)]), requirement


def test_a_wheel_has_every_file_that_the_package_reads():
    setuptools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = (REPOSITORY / "rdt").rglob("*.*")
    files = [path for path in found if path.suffix != ".py" and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} == {".jinja", ".html", ".css"}
    assert not [path for path in files if not any(map(path.match, setuptools["package-data"]["*"]))]


def test_make_installs_the_model_by_its_hash():
    pinned = (REPOSITORY / "requirements-model.lock").read_text()
    (name, version, digest) = re.search(r"^([\w.-]+)==([\w.]+) \\\n    --hash=sha256:(\w{64})$", pinned, re.M).groups()
    assert locked_versions()[normalised(name)] == version
    assert digest == "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779"
    commands = make("--dry-run", "--always-make", "READY=not-there", "not-there").stdout
    with_hash = commands.index("--require-hashes --requirement requirements-model.lock")
    assert with_hash < commands.index("--requirement requirements.lock")


def test_the_lock_is_closed_under_requirements_and_holds_nothing_else():
    reached, todo = set[str](), [(name, ()) for name in required_packages()]
    while todo:
        name, extras = todo.pop()
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            wanted = any(
                requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            )
            child = (normalised(requirement.name), tuple(requirement.extras))
            if wanted and not (child[0] in reached and not child[1]):
                reached.add(child[0])
                todo.append(child)
    assert reached | set(required_packages()) == set(locked_versions())


def test_this_environment_is_the_locked_one():
    for name, version in locked_versions().items():
        try:
            found = distribution(name).version
        except PackageNotFoundError:
            found = "nothing"
        assert found.partition("+")[0] == version, f"{name} {found}, locked {version}; run make"


def test_conda_installs_the_locked_versions():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    pins = {normalised(name): version for name, _, version in (line.partition("==") for line in pip)}
    assert pins == locked_versions() and environment["channels"][0] == "conda-forge"
    assert "openjdk=8" in environment["dependencies"]  # the original SPICE needs a Java that old
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python=")]
    assert Requirement("python" + PROJECT["requires-python"]).specifier.contains(python.partition("=")[2] + ".0")


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=REPOSITORY, capture_output=True, text=True, env=os.environ | environment
    )


def test_make_all_runs_the_chosen_experiment():
    assert "snakemake --cores all all --config experiment=scenes" in make("-n", "all").stdout
    assert "snakemake --cores all all --config experiment=smoke" in make("-n", "all", "EXPERIMENT=smoke").stdout


def old_python(tmp_path: Path, version: str) -> str:
    """A command that behaves like a Python without the standard library of the wanted version."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.version_info = {version}\n{BROKEN}\nexec(sys.argv[2])\n")
    script.chmod(0o755)
    return str(script)


BROKEN = "sys.modules['ensurepip'] = None"


def test_make_says_which_python_it_needs(tmp_path):
    for version, expected in (("(3, 9)", "is not a Python >= 3.11"), ("(3, 12)", "install its venv package")):
        result = make("--always-make", "READY=not-there", f"PYTHON={old_python(tmp_path, version)}", "not-there")
        assert result.returncode == 2 and expected in result.stderr and "Traceback" not in result.stderr
    assert not (REPOSITORY / "not-there").exists()


SNAKEFILE = """
rule all:
    input: "a.txt"
rule a:
    output: "a.txt"
    params: digest=1
    shell: "echo one > {output}"
"""


def test_a_bare_snakemake_finds_the_profile_and_reruns_for_params_but_not_for_code(tmp_path):
    (tmp_path / "profiles").symlink_to(REPOSITORY / "profiles")

    def snakemake(snakefile: str, *arguments: str) -> str:
        (tmp_path / "Snakefile").write_text(snakefile)
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    first = snakemake(SNAKEFILE)
    assert "profiles/default" in first and "echo one" not in first
    assert "Nothing to be done" in snakemake(SNAKEFILE.replace("echo one", "echo  one"))
    assert "params have changed" in snakemake(SNAKEFILE.replace("digest=1", "digest=2"), "--dry-run")


def test_the_ci_check_wants_all_tables_with_numbers(tmp_path):
    check = [sys.executable, str(REPOSITORY / ".ci/check_tables.py"), "mini"]
    folder = tmp_path / "reports/mini/tables"
    folder.mkdir(parents=True)
    header, measured = "table,row,column,paper,ours,status\n", "X,RDT,C,1,2.5,measured\n"
    for table in ("II", "III", "IV", "V", "VI", "VII", "VIII"):
        for kind in ("csv", "md", "tex"):
            (folder / f"table_{table}.{kind}").write_text(header + measured)
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (folder / "table_IV.csv").write_text(header + "IV,RDT,C,1,,not run: no data\n")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1
    (folder / "table_IV.csv").write_text(header + measured)
    (folder / "table_V.tex").unlink()
    result = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "missing: tex" in result.stdout
