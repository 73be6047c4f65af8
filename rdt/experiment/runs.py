"""A run: one resolved configuration, its name and its identity."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from rdt.errors import UserError
from rdt.experiment.settings import EncoderSettings, Experiment, Method, Role

LONGEST_CHANGES = 150  # characters of a run's name: a folder's may have 255, and logs are called after it

# The teacher denoises nothing, ranks nothing and sees no retrieved sentence.
_TEACHER_METHOD = (
    "length",
    "min_count",
    "cls",
    "visual_pos",
    "label_smoothing",
    "rl_references",
    "images_per_step",
    "captions_per_image",
    "select_on",
)
_TEACHER_TRAINING = ("teacher_xe_epochs", "teacher_rl_epochs", "teacher_rl_lr", "teacher_beam")
_CAPTIONER_TRAINING = ("rl_epochs", "evaluate_steps", "cascade_steps")
_SHARED_TRAINING = ("schedule", "lr", "warmup_steps", "clip_value", "ema", "evaluate_every")


@dataclass(frozen=True)
class Run:
    """One training job: a captioner (stages xe, xe2, rl, rl2) or its autoregressive teacher (xe, rl)."""

    id: str
    kind: Literal["captioner", "teacher"]
    method: Method
    role: Role  # whose train split it learns from
    seed: int
    xe_epochs: int  # of its cross-entropy stage


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
    own = {name: getattr(run.method, name) for name in _TEACHER_METHOD}
    epochs = experiment.training.teacher_xe_epochs
    return _identified(experiment, Run("", "teacher", replace(experiment.method, **own), run.role, run.seed, epochs))


def resolved_configuration(experiment: Experiment, run: Run) -> dict[str, Any]:
    """Everything that decides the weights of ``run``, and nothing else.

    Left out: names and titles, the tables and how many networks they use, the data of roles that it never
    sees, and how (threads, processes, device, checkpoints) rather than what is computed. ``precision``, a late
    key, is there only where it is not the usual one, so that older ids stay.
    """
    is_teacher = run.kind == "teacher"
    method = asdict(run.method)
    training = asdict(experiment.training)
    budget = _SHARED_TRAINING + _TEACHER_TRAINING + (() if is_teacher else _CAPTIONER_TRAINING)
    if training["precision"] != "float32":
        budget += ("precision",)
    return {
        "kind": run.kind,
        "method": {name: method[name] for name in _TEACHER_METHOD} if is_teacher else method,
        "model": asdict(experiment.model),
        "training": {name: training[name] for name in budget} | {"xe_epochs": run.xe_epochs},
        "data": data_configuration(experiment, run.role),
        "encoder": _encoder_of(experiment, run.role),
        "seed": run.seed,
    }


def settings_digest(configuration: Mapping[str, Any]) -> str:
    """The first 8 hex digits of the SHA-256 of the canonical JSON."""
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def data_configuration(experiment: Experiment, role: Role) -> dict[str, Any]:
    """All but the title; ``retrieval_features``, a late key, only where it is given, so that older ids stay."""
    data = {key: value for key, value in asdict(experiment.data[role]).items() if key != "title"}
    return data if data["retrieval_features"] else {key: data[key] for key in data if key != "retrieval_features"}


def encoder_configuration(encoder: EncoderSettings) -> dict[str, Any]:
    """All that decides the weights of the encoder, which the number of threads does not."""
    return {key: value for key, value in asdict(encoder).items() if key != "threads"}


def _encoder_of(experiment: Experiment, role: Role) -> dict[str, Any] | None:
    """The encoder learns from the primary train split; imported features have none."""
    if experiment.data[role].features:
        return None
    encoder = encoder_configuration(experiment.encoder)
    return encoder if role == "primary" else {**encoder, "data": data_configuration(experiment, "primary")}


def _identified(experiment: Experiment, run: Run) -> Run:
    """``run`` with its id: what differs from the preset, the role, the seed, the digest."""
    relevant = set(_TEACHER_METHOD) if run.kind == "teacher" else {field.name for field in fields(Method)}
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
