"""Digests of the code that a step uses: its module and all modules it imports, with their templates."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from rdt.digests import ROOT, SHORT
from rdt.errors import UserError
from rdt.provenance.syntax import read_syntax

# What decides where a result is written, how it is reported and how mistakes are told, or only passes names on, but
# not what a result is: a change in it makes nothing stale. (What the settings say, and what a plan asks of networks,
# is recorded by itself.)
BYSTANDING_ROOMS = ("rdt.experiment", "rdt.provenance", "rdt.tracking")
BYSTANDERS = frozenset(
    (
        "rdt",
        "rdt.captioning.model_card",
        "rdt.cli",
        "rdt.digests",
        "rdt.errors",
        "rdt.files",
        "rdt.lazy",
        "rdt.metrics",
        "rdt.model",
        "rdt.workspace",
    )
)


# ---- digests of code


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 of a module and of every module of ``rdt`` that it imports, directly or not.

    Imports inside functions count, also of modules loaded only at run time by name they do not. The
    syntax tree is hashed, without docstrings: comments, docstrings and formatting change nothing. A template
    (``rdt.templates``) belongs to the module that names it.
    """
    lines = "".join(f"{name} {digest}\n" for name, digest in code_modules(module).items())
    return hashlib.sha256(lines.encode()).hexdigest()


def code_modules(module: str) -> dict[str, str]:
    """The digest of each module that goes into :func:`code_digest`, by name, in order."""
    todo, seen = [module], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [other for other in _parsed(name)[1] if not _stands_by(other)]
    return {name: _parsed(name)[0] for name in sorted(seen)}


def _stands_by(module: str) -> bool:
    return module in BYSTANDERS or f"{module}.".startswith(tuple(f"{room}." for room in BYSTANDING_ROOMS))


def short_modules(module: str) -> dict[str, str]:
    """:func:`code_modules` as a manifest keeps them: enough of each digest to tell which module changed."""
    return {name: digest[:SHORT] for name, digest in code_modules(module).items()}


def code_record(module: str) -> dict[str, Any]:
    """The code behind a result, as its manifest keeps it."""
    return {
        "module": module,
        "digest": code_digest(module),
        "git": git_revision(),
        "modules": short_modules(module),
    }


@functools.cache
def _parsed(module: str) -> tuple[str, frozenset[str]]:
    """Digest of one module's code, with the templates that it names, and the modules of its package that it imports."""
    file = _source(module)
    if file is None:
        raise UserError(module, "there is no such module", f"name a module under {ROOT / 'rdt'}")
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    syntax = read_syntax(file, package)
    templates = [path for path in (ROOT / "rdt" / name for name in syntax.templates) if path.is_file()]
    content = syntax.digest.encode() + b"".join(path.read_bytes() for path in templates)
    digest = hashlib.sha256(content).hexdigest() if templates else syntax.digest
    return digest, frozenset(name for name in syntax.imports if _source(name))


def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()), None)


@functools.cache
def git_revision() -> str | None:
    """Commit of the code, with ``-dirty`` where files differ from it; None outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
