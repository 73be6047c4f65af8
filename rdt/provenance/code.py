"""Digests of the code that a step uses: its module and all modules it imports, with their templates."""

from __future__ import annotations

import ast
import functools
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdt.digests import ROOT, SHORT
from rdt.errors import UserError

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
    syntax tree is hashed, without docstrings: comments, docstrings and formatting change nothing. A template belongs
    to the module that names it.
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
    """Digest of one module's code, and the modules of its package that it imports."""
    file = _source(module)
    if file is None:
        raise UserError(module, "there is no such module", f"name a module under {ROOT / 'rdt'}")
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    imported = frozenset(name for node in ast.walk(tree) for name in _imported(node, package))
    content = _canonical(tree).encode() + b"".join(template.read_bytes() for template in _templates(tree))
    return hashlib.sha256(content).hexdigest(), imported


def _templates(tree: ast.AST) -> list[Path]:
    """The templates (``rdt.templates``) that strings of a module name."""
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    files = (ROOT / "rdt" / text for text in sorted(strings) if text.endswith(".jinja"))
    return [file for file in files if file.is_file()]


def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()), None)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """Modules of ``rdt`` that an import statement runs: the named ones and the packages above them."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join(above + ([node.module] if node.module else []))
        names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    else:
        return
    for name in names:
        parts = name.split(".")
        if parts[0] == "rdt":
            candidates = (".".join(parts[: n + 1]) for n in range(len(parts)))
            yield from (candidate for candidate in candidates if _source(candidate))


def _canonical(node: Any) -> str:
    """Text of a syntax tree: fields that are empty are left out, since Python versions differ in them."""
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _documented(node):
        fields["body"] = node.body[1:]
    text = ",".join(f"{name}={_canonical(value)}" for name, value in fields.items() if value not in (None, []))
    return f"{type(node).__name__}({text})"


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None


@functools.cache
def git_revision() -> str | None:
    """Commit of the code, with ``-dirty`` where files differ from it; None outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
