"""What the syntax tree of one module says: its digest, its imports and its templates, kept beside its bytecode."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from rdt.files import atomic_file


@dataclass(frozen=True)
class Syntax:
    """Digest of a module's code, names of ``rdt`` that it may import, ``.jinja`` files that its strings name."""

    digest: str
    imports: list[str]
    templates: list[str]


def read_syntax(file: Path, package: str) -> Syntax:
    """The syntax of a module of ``package``, parsed where it was not kept: that takes longer than all other checks.

    It is kept by the bytes of the module and of this one, where Python keeps the bytecode.
    """
    source = file.read_bytes()
    kept = Path(cache_from_source(str(file))).with_suffix(".json")
    key = hashlib.sha256(Path(__file__).read_bytes() + source).hexdigest()
    with suppress(OSError, ValueError):
        content = json.loads(kept.read_bytes())
        if content.pop("key") == key:
            return Syntax(**content)
    syntax = _parse(source.decode(), file, package)
    with suppress(OSError), atomic_file(kept) as partial:
        partial.write_text(json.dumps({"key": key, **asdict(syntax)}), encoding="utf-8")
    return syntax


def _parse(source: str, file: Path, package: str) -> Syntax:
    tree = ast.parse(source, str(file))
    nodes = list(ast.walk(tree))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    imports = {name for node in nodes for name in _imported(node, package)}
    digest = hashlib.sha256(_canonical(tree).encode()).hexdigest()
    return Syntax(digest, sorted(imports), sorted(text for text in strings if text.endswith(".jinja")))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """What an import statement may run of ``rdt``: the named modules, if they are, and the packages above them."""
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
            yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


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
