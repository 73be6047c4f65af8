"""Where a result comes from: digests of files and code, and the manifest beside every output."""

from __future__ import annotations

import ast
import datetime
import functools
import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rdt.errors import UserError
from rdt.io import atomic_write_json, read_json

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"
SHORT = 12  # hex digits of a digest that is shown, or that only has to tell one version from the next
VERSIONS = ("torch", "numpy", "faiss-cpu", "pycocoevalcap", "safetensors", "mlflow", "snakemake")

# Modules that decide where a result is written, how it is reported and how mistakes are told, or that
# only pass names on, but not what a result is: a change in them makes nothing stale. (What the
# configuration says is recorded by itself.)
BYSTANDERS = frozenset(
    f"rdt{name}"
    for name in (
        "",
        ".chain",
        ".cli",
        ".config",
        ".errors",
        ".experiment_file",
        ".io",
        ".lazy",
        ".machine",
        ".metrics",
        ".model",
        ".paths",
        ".plan",
        ".provenance",
        ".showcase",
        ".stages",
        ".tracking",
        ".tracking_places",
        ".tracking_sender",
        ".training.curves",
    )
)


# ---- digests of files


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises ``UserError`` where there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(path, f"cannot be read: {error.strerror}", "run the step that writes it") from None


def tree_digest(folder: str | Path) -> str:
    """SHA-256 over the relative paths and contents of all files in a folder.

    Manifests and hidden files are left out: a manifest holds the time of the run, and two runs that
    made the same bytes are to have the same digest.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "the folder does not exist", "run the step that writes it")
    return combined_digest({_relative(path, folder): file_digest(path) for path in sorted(_content(folder))})


def combined_digest(files: Mapping[str, str]) -> str:
    """One digest of many files: ``files`` are their SHA-256 by relative path, in order."""
    lines = (f"{name}\0{digest}\n" for name, digest in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _relative(path: Path, folder: Path) -> str:
    """``path`` seen from ``folder``, also where it lies beside it, with forward slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()


def _content(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not path.name.endswith(MANIFEST):
            yield path


def digest(path: str | Path) -> str:
    """Digest of a file's or a folder's content as it lies on disk."""
    return tree_digest(path) if Path(path).is_dir() else file_digest(path)


def recorded_digest(path: str | Path) -> str:
    """The digest that a step recorded for what it made; without a manifest, that of the content.

    So a large data set is read once, by the step that made it, and not again by each of its users.
    """
    manifest = manifest_path(path)
    return read_json(manifest)["content"] if manifest.is_file() else digest(path)


# ---- digests of code


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 of a module and of every module of ``rdt`` that it imports, directly or not.

    Imports inside functions count, also of modules loaded only at run time by name they do not. The
    syntax tree is hashed, without docstrings: comments, docstrings and formatting change nothing.
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
            todo += [other for other in _parsed(name)[1] if other not in BYSTANDERS]
    return {name: _parsed(name)[0] for name in sorted(seen)}


def short_modules(module: str) -> dict[str, str]:
    """:func:`code_modules` as a manifest keeps them: enough of each digest to tell which module changed."""
    return {name: digest[:SHORT] for name, digest in code_modules(module).items()}


@functools.cache
def _parsed(module: str) -> tuple[str, frozenset[str]]:
    """Digest of one module's code, and the modules of its package that it imports."""
    file = _source(module)
    if file is None:
        raise UserError(module, "there is no such module", f"name a module under {ROOT / 'rdt'}")
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    imported = frozenset(name for node in ast.walk(tree) for name in _imported(node, package))
    return hashlib.sha256(_canonical(tree).encode()).hexdigest(), imported


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


# ---- manifests


def manifest_path(target: str | Path) -> Path:
    """``manifest.json`` inside a folder; ``<name>.manifest.json`` beside a file, or for a set of files."""
    target = Path(target)
    return target / MANIFEST if target.is_dir() else target.with_name(f"{target.name}.{MANIFEST}")


def write_manifest(
    target: str | Path,
    *,
    command: Sequence[str],
    configuration: Mapping[str, Any],
    code: str,
    inputs: Mapping[str, str | Path],
    seed: int | None,
    started: float,
    mlflow_run_id: str | None = None,
    files: Sequence[str | Path] = (),
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write the manifest of a finished output: a folder, one file, or some files that one job wrote.

    ``command`` is the argument list, ``configuration`` the resolved settings that decide the result,
    ``code`` a module's name (its :func:`code_digest` is taken) and ``started`` the ``time.time()`` of
    the start. ``inputs`` are recorded by :func:`recorded_digest`. ``files`` are what the job wrote where
    that is not ``target`` itself, all of it: then ``target`` may be a mere name, or a folder of other files too.
    """
    target = Path(target)
    written = _digests(target, files)
    manifest = {
        "command": list(command),
        "configuration": dict(configuration),
        "code": {
            "module": code,
            "digest": code_digest(code),
            "git": git_revision(),
            "modules": short_modules(code),
        },
        "inputs": {
            name: {"path": Path(path).as_posix(), "digest": recorded_digest(path)} for name, path in inputs.items()
        },
        "content": content_digest(target, written),
        "files": written,
        "seed": seed,
        "versions": _versions(),
        "hardware": _hardware(),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.time() - started, 3),
        "peak_memory_mb": _peak_memory(),
        "mlflow_run_id": mlflow_run_id,
        **(extra or {}),
    }
    path = manifest_path(target)
    atomic_write_json(path, manifest)
    return path


def _digests(target: Path, files: Sequence[str | Path]) -> dict[str, str]:
    """SHA-256 of every file of an output, by its path as seen from :func:`base`."""
    paths = [Path(path) for path in files] or ([target] if target.is_file() else sorted(_content(target)))
    if not paths:
        raise UserError(target, "nothing was written there", "run the step that writes it")
    return {_relative(path, base(target)): file_digest(path) for path in paths}


def content_digest(target: Path, files: Mapping[str, str]) -> str:
    """The digest that stands for an output: a single file's own, else that of all its files."""
    alone = not target.is_dir() and list(files) == [target.name]
    return files[target.name] if alone else combined_digest(files)


def base(target: str | Path) -> Path:
    """The folder from which a manifest names the files of its output."""
    return Path(target) if Path(target).is_dir() else Path(target).parent


def output_files(target: str | Path, manifest: Mapping[str, Any]) -> dict[Path, str]:
    """The digest of every file of an output, by path."""
    return {Path(os.path.normpath(base(target) / name)): value for name, value in manifest["files"].items()}


def read_manifest(target: str | Path) -> dict[str, Any]:
    """The manifest of an output folder or file; raises ``UserError`` where it is missing or damaged."""
    return read_json(manifest_path(target))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _hardware() -> dict[str, Any]:
    """Names and sizes; a GPU is named only where the step itself has loaded torch."""
    hardware: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        hardware["gpu"] = torch.cuda.get_device_name()
    return hardware


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _peak_memory() -> dict[str, float]:
    """Largest resident set of this process and of its largest finished child, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # getrusage counts bytes on macOS, KiB on Linux
    return {
        name: round(resource.getrusage(who).ru_maxrss / unit, 1)
        for name, who in (("self", resource.RUSAGE_SELF), ("children", resource.RUSAGE_CHILDREN))
    }


@functools.cache
def git_revision() -> str | None:
    """Commit of the code, with ``-dirty`` where files differ from it; None outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
