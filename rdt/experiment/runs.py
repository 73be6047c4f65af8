"""A run: one resolved configuration, its name and its identity."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from rdt.errors import UserError
from rdt.experiment.settings import EncoderSettings, Experiment, Kind, Method, Role, Stage, deciding

LONGEST_CHANGES = 150  # characters of a run's name: a folder's may have 255, and logs are called after it


@dataclass(frozen=True)
class Run:
    """One training job: a captioner (stages xe, xe2, rl, rl2) or its autoregressive teacher (xe, rl).

    Or none: a given run is a file of captions, which stands where those of a network would (its stage is xe).
    """

    id: str
    kind: Kind
    method: Method
    role: Role  # whose train split it learns from
    seed: int
    xe_epochs: int  # of its cross-entropy stage
    results: str = ""  # of a given run: the file of its captions


class NetworkId(NamedTuple):
    """A trained network: a stage of the run with that id."""

    run: str
    stage: Stage


def override(method: Method, values: Mapping[str, Any], where: str) -> Method:
    """``method`` with some values replaced, each in the type of the one that it replaces."""
    for key in values:
        if key not in {field.name for field in fields(Method)}:
            raise UserError(where, f"'{key}' is not a setting of the method", "see experiments/method/paper.yaml")
    typed = {key: float(value) if isinstance(getattr(method, key), float) else value for key, value in values.items()}
    return replace(method, **typed)


# Identity of a run


def captioner(experiment: Experiment, method: Method, role: Role, seed: int, xe_epochs: int | None = None) -> Run:
    """The run that trains a captioner with ``method`` on the train split of ``role``."""
    epochs = experiment.training.xe_epochs if xe_epochs is None else xe_epochs
    return _identified(experiment, Run("", "captioner", method, role, seed, epochs))


def teacher_of(experiment: Experiment, run: Run) -> Run:
    """The teacher of a captioner: shared by all that differ only in what a teacher does not have."""
    own = {name: getattr(run.method, name) for name in deciding(type(run.method), "teacher")}
    epochs = experiment.training.teacher_xe_epochs
    return _identified(experiment, Run("", "teacher", replace(experiment.method, **own), run.role, run.seed, epochs))


def resolved_configuration(experiment: Experiment, run: Run) -> dict[str, Any]:
    """Everything that decides the weights of ``run``, and nothing else.

    Left out: names and titles, the tables and how many networks they use, the data of roles that it never
    sees, and how (threads, processes, device, checkpoints) rather than what is computed; also a setting that
    has its default, so that a new one with a default leaves the ids of all runs as they are. A default is
    therefore for ever: another one would give other networks the same id.
    """
    training = _deciding_values(experiment.training, run.kind)
    return {
        "kind": run.kind,
        "method": _deciding_values(run.method, run.kind),
        "model": _deciding_values(experiment.model, run.kind),
        "training": training | {"xe_epochs": run.xe_epochs},
        "data": data_configuration(experiment, run.role),
        "encoder": _encoder_of(experiment, run.role),
        "seed": run.seed,
    }


def settings_digest(configuration: Mapping[str, Any]) -> str:
    """The first 8 hex digits of the SHA-256 of the canonical JSON."""
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def data_configuration(experiment: Experiment, role: Role) -> dict[str, Any]:
    """What the data of a role are; not their title, nor what has its default."""
    return _deciding_values(experiment.data[role])


def stated(group: Any) -> dict[str, Any]:
    """The settings of a group that differ from their default, if they have one."""
    return {item.name: value for item in fields(group) if (value := getattr(group, item.name)) != item.default}


def _deciding_values(group: Any, kind: Kind = "captioner") -> dict[str, Any]:
    """The stated settings of a group that decide the weights of a ``kind``."""
    values = stated(group)
    return {name: values[name] for name in deciding(type(group), kind) if name in values}


def encoder_configuration(encoder: EncoderSettings) -> dict[str, Any]:
    """All that decides the weights of the encoder, which the number of threads does not."""
    return _deciding_values(encoder)


def _encoder_of(experiment: Experiment, role: Role) -> dict[str, Any] | None:
    """The encoder learns from the primary train split; imported features have none."""
    if experiment.data[role].features:
        return None
    encoder = encoder_configuration(experiment.encoder)
    return encoder if role == "primary" else {**encoder, "data": data_configuration(experiment, "primary")}


def _identified(experiment: Experiment, run: Run) -> Run:
    """``run`` with its id: what differs from the preset, the role, the seed, the digest."""
    relevant = deciding(type(run.method), run.kind)
    preset, own = asdict(experiment.method), asdict(run.method)
    words = [] if run.kind == "captioner" else ["teacher"]
    changed = [_word(name, own[name]) for name in own if name in relevant and own[name] != preset[name]]
    words += changed if len("-".join(changed)) <= LONGEST_CHANGES else [f"{len(changed)}settings"]
    words = words or ["rdt"]
    if run.kind == "captioner" and run.xe_epochs != experiment.training.xe_epochs:
        words.append(_word("xe_epochs", run.xe_epochs))
    if run.role != "primary":
        words.append(run.role)
    words += [f"s{run.seed}", settings_digest(resolved_configuration(experiment, run))]
    return replace(run, id="-".join(words))


def _word(name: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return name + re.sub(r"[^A-Za-z0-9._+]", "_", text)
