"""Where a result comes from: digests of files and code, and the manifest beside every output."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdt.digests import MANIFEST, combined_digest, content_files, digest, file_digest, relative_path
from rdt.errors import UserError
from rdt.files import atomic_write_json, read_json
from rdt.provenance.code import code_record

VERSIONS = ("torch", "numpy", "faiss-cpu", "pycocoevalcap", "safetensors", "mlflow", "snakemake")


def recorded_digest(path: str | Path) -> str:
    """Digest that a step recorded for what it made; without a manifest, the content's own.

    So a large data set is read once, by the step that made it, and not again by each of its users.
    """
    manifest = manifest_path(path)
    return read_json(manifest)["content"] if manifest.is_file() else digest(path)


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

    ``command`` is the argument list, ``configuration`` the resolved settings that decide the result, ``code`` the
    module that makes it and ``started`` the ``time.time()`` of the start. ``files`` are what the job wrote where that
    is not ``target`` itself, all of it: then ``target`` may be a mere name, or a folder of other files too.
    """
    target = Path(target)
    written = _digests(target, files)
    manifest = {
        "command": list(command),
        "configuration": dict(configuration),
        "code": code_record(code),
        "inputs": {name: _input_record(path) for name, path in inputs.items()},
        "content": content_digest(target, written),
        "files": written,
        "seed": seed,
        "versions": _versions(),
        "hardware": _hardware(),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.time() - started, 3),
        "cpu_seconds": _cpu_seconds(),
        "peak_memory_mb": _peak_memory(),
        "mlflow_run_id": mlflow_run_id,
        **(extra or {}),
    }
    atomic_write_json(manifest_path(target), manifest)
    return manifest_path(target)


def _input_record(path: str | Path) -> dict[str, str]:
    return {"path": Path(path).as_posix(), "digest": recorded_digest(path)}


def _digests(target: Path, files: Sequence[str | Path]) -> dict[str, str]:
    """SHA-256 of every file of an output, by its path as seen from :func:`base`."""
    paths = [Path(path) for path in files] or ([target] if target.is_file() else sorted(content_files(target)))
    if not paths:
        raise UserError(target, "nothing was written there", "run the step that writes it")
    return {relative_path(path, base(target)): file_digest(path) for path in paths}


def content_digest(target: Path, files: Mapping[str, str]) -> str:
    """Digest that stands for an output: a single file's own, else one of all its files."""
    alone = not target.is_dir() and list(files) == [target.name]
    return files[target.name] if alone else combined_digest(files)


def base(target: str | Path) -> Path:
    """The folder from which a manifest names the files of its output."""
    return Path(target) if Path(target).is_dir() else Path(target).parent


def output_files(target: str | Path, manifest: Mapping[str, Any]) -> dict[Path, str]:
    """The digest of every file of an output, by path."""
    return {Path(os.path.normpath(base(target) / name)): value for name, value in manifest["files"].items()}


def check_recorded(target: Path, name: str) -> None:
    """Refuse a file of an output that is not the one that was made; without a manifest there is nothing to compare."""
    path = manifest_path(target)
    recorded = read_json(path).get("files", {}).get(name) if path.is_file() else None
    if recorded is not None and file_digest(target / name) != recorded:
        problem = "is not the file that was made, by its digest"
        raise UserError(target / name, problem, "restore it, or `rdt verify --repair`, and let snakemake make it again")


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


def _cpu_seconds() -> float | None:
    """Processor time of this process and its finished children; None among several, which do not know of each other."""
    if os.environ.get("WORLD_SIZE", "1") != "1":  # as torchrun tells them
        return None
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(sum(one.ru_utime + one.ru_stime for one in used), 2)


def _peak_memory() -> dict[str, float]:
    """Largest resident set of this process and of its largest finished child, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # getrusage counts bytes on macOS, KiB on Linux
    return {
        name: round(resource.getrusage(who).ru_maxrss / unit, 1)
        for name, who in (("self", resource.RUSAGE_SELF), ("children", resource.RUSAGE_CHILDREN))
    }
