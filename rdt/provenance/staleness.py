"""Why a result is stale: what its manifest recorded against what its step would read and run now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdt.digests import MANIFEST, SHORT, digest, file_digest
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.files import read_json
from rdt.provenance.code import short_modules
from rdt.provenance.manifest import manifest_path, output_files
from rdt.provenance.steps import Chain, Step

ABSENT = "absent"
_OLD = "was written by an earlier version of this suite"


@dataclass(frozen=True)
class Stale:
    """An output and why it would be made again, for reasons of its own; what it is made from may have others."""

    target: Path
    reasons: tuple[str, ...]


def stale(chain: Chain, steps: Iterable[Step]) -> list[Stale]:
    """What is stale among ``steps``."""
    found = [Stale(step.target, tuple(reasons(chain, step))) for step in steps]
    return [one for one in found if one.reasons]


def reasons(chain: Chain, step: Step) -> list[str]:
    """Which files, inputs, parameters and modules of one step are not what its manifest says."""
    path = manifest_path(step.target)
    if step.target in chain.imported and (chain.stands(step) or not all(one.exists() for one in step.declared)):
        return []  # what was left out of a crate is made only where something asks for it
    if not path.is_file():
        return ["it has not been made", *_nearest(step)]
    manifest = read_json(path)
    try:
        return [
            *_changed_files(step.target, manifest),
            *_parameters(manifest["configuration"], step.configuration),
            *_modules(manifest["code"]["modules"], short_modules(step.code)),
            *_inputs(chain, manifest["inputs"], step),
        ]
    except (KeyError, TypeError):
        return [f"{path} {_OLD}, which recorded less"]


def check_inputs(chain: Chain, step: Step) -> None:
    """Refuse inputs of ``step`` that were made from other files than are there now.

    Raises UserError that names the input, what it was made from, and the digests of that then and now.
    """
    for path in step.inputs.values():
        maker = chain.maker(path)
        if maker is None or not manifest_path(maker.target).is_file():
            continue
        remedy = f"make it again: rdt {maker.name}, or snakemake"
        try:
            _check_made_from(chain, maker, path, remedy)
        except (KeyError, TypeError):
            raise UserError(path, f"{_OLD}, so what it was made from cannot be checked", remedy) from None


def _check_made_from(chain: Chain, maker: Step, path: Path, remedy: str) -> None:
    recorded = read_json(manifest_path(maker.target))["inputs"]
    for name, source in maker.inputs.items():
        before = recorded.get(name, {}).get("digest")
        now = _present(chain, source) if chain.maker(source) or source.exists() else None
        if None not in (before, now) and before != now:
            digests = f"({before[:SHORT]}, {source} is {now[:SHORT]} now)"
            raise UserError(path, f"was made from another version of its {name} {digests}", remedy)


def _changed_files(target: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    for path, recorded in output_files(target, manifest).items():
        if not path.is_file():
            yield f"its file {path} is missing"
        elif file_digest(path) != recorded:
            yield f"its file {path} is not the one that was made: rdt verify --repair"


def _parameters(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = _flat(before), _flat(json.loads(json.dumps(now)))
    for name in dict.fromkeys([*new, *old]):
        if old.get(name, ABSENT) != new.get(name, ABSENT):
            yield f"parameter {name} is {_value(new, name)}, it was {_value(old, name)}"


def _value(flat: Mapping[str, Any], name: str) -> str:
    return json.dumps(flat[name], ensure_ascii=False) if name in flat else ABSENT


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _modules(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*now, *before]):
        if name not in before:
            yield f"module {name} is used now, it was not"
        elif name not in now:
            yield f"module {name} was used, it is not now"
        elif before[name] != now[name]:
            yield f"module {name} has changed"


def _inputs(chain: Chain, before: Mapping[str, Mapping[str, str]], step: Step) -> Iterator[str]:
    for name, path in step.inputs.items():
        if name not in before:
            yield f"input {name} ({path}) is read now, it was not"
        elif _present(chain, path) not in (before[name]["digest"], None):
            yield f"input {name} ({path}) has changed"
    for name, source in before.items():
        if name not in step.inputs:
            yield f"input {name} ({source['path']}) was read, it is not now"


def _present(chain: Chain, path: Path) -> str | None:
    """The digest of an input now; None where it has to be made first, which is then told of it."""
    maker = chain.maker(path)
    if maker is None:
        return digest(path)
    manifest = manifest_path(maker.target)
    if not manifest.is_file():
        return None
    document = read_json(manifest)
    if path == maker.target:
        return document["content"]
    return output_files(maker.target, document).get(path) or digest(path)


def _nearest(step: Step) -> list[str]:
    """Of a network that has not been trained: in what it differs from the nearest one that has been.

    A network with other settings has another name, so none of them is ever the same one gone stale.
    """
    if step.name != "train":
        return []
    runs, stage = step.target.parent.parent, step.target.name
    differences = {}
    for path in sorted(runs.glob(f"*/{stage}/{MANIFEST}")):
        differences[path.parent.parent.name] = list(_parameters(read_json(path)["configuration"], step.configuration))
    if not differences:
        return []
    name = min(differences, key=lambda name: len(differences[name]))
    return [f"it differs from {name}: {reason}" for reason in differences[name]]


def find_step(chain: Chain, target: Path, paths: Paths) -> Step:
    """The step that makes a file or folder, named as it is or from the results or reports; UserError if none does."""
    if target.is_absolute() and target.is_relative_to(Path.cwd()):
        target = target.relative_to(Path.cwd())
    for path in (target, paths.root / target, paths.reports / target):
        step = chain.maker(path)
        if step is not None:
            return step
    problem = f"is nothing that experiment {paths.experiment} makes, as its file says now"
    raise UserError(target, problem, "name a cell, or a file or folder of its results or reports; see --experiment")
