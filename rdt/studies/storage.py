"""A study in its storage: created once, opened by each of its workers; Optuna's objects from a study file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from rdt.errors import UserError
from rdt.studies.file import JOURNAL, Study
from rdt.tracking.spool import check_password, masked

CONNECT_SECONDS = 10  # a database that has not answered by then is away
IDENTITY = "identity"  # the attribute that holds what a study was created for

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def create(study: Study, folder: Path, name: str, identity: Mapping[str, Any]) -> optuna.Study:
    """Create the study ``name`` with the paper's setting as its first trial, or open the one that is there.

    ``identity`` says what its trials have in common, by part. Raises ``UserError`` where the one that is there
    was created for something else, or the storage does not answer.
    """
    storage, identity = _storage(study, folder), json.loads(json.dumps(identity))  # as the storage gives it back
    try:
        opened = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        directions = ["maximize"] * len(study.objectives)
        opened = optuna.create_study(storage=storage, study_name=name, directions=directions)
    known = opened.user_attrs.get(IDENTITY)
    if known is None:
        opened.set_user_attr(IDENTITY, identity)
        opened.enqueue_trial(study.paper(), skip_if_exists=True)
    elif known != identity:
        part = next(part for part in identity if known.get(part) != identity[part])
        problem = f"the study {name} was created with other {part}: {_changes(known.get(part), identity[part])}"
        remedy = "give the study another name" + (f", or delete {folder}" if study.storage == JOURNAL else "")
        raise UserError(study.path, problem, remedy)
    return opened


def open_stored(study: Study, folder: Path, name: str, epochs: int) -> optuna.Study:
    """The study ``name``, which :func:`create` has made, with the pruner of trials of ``epochs``."""
    try:
        return optuna.load_study(study_name=name, storage=_storage(study, folder), pruner=pruner(study, epochs))
    except KeyError:
        raise UserError(study.path, f"the study {name} is not in its storage", "run `rdt study-init` first") from None


def distributions(study: Study) -> dict[str, FloatDistribution]:
    """The search space."""
    return {name: FloatDistribution(span.low, span.high, log=span.log) for name, span in study.parameters.items()}


def sampler(study: Study, trial: int) -> BaseSampler:
    """The sampler of the trial with that number.

    Its seed is of its own, so that two workers never draw the same, and a study that was interrupted
    goes on as if it had not been.
    """
    seed = int(np.random.SeedSequence([study.sampler.seed, trial]).generate_state(1)[0])
    if study.sampler.name == "random":
        return RandomSampler(seed)
    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=max(1, study.trials // 3))


def pruner(study: Study, epochs: int) -> BasePruner:
    """The pruner of trials of ``epochs``."""
    if study.pruner is None:
        return NopPruner()
    least, reduction = study.pruner.min_epochs, study.pruner.reduction
    if study.pruner.name == "asha":
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=reduction)
    return HyperbandPruner(min_resource=least, max_resource=epochs, reduction_factor=reduction)


def _storage(study: Study, folder: Path) -> BaseStorage:
    """The journal in the study's folder, or the database at the URL of the study file."""
    url, options = study.storage, {}
    check_password(study.path, url)
    if url != JOURNAL and not url.startswith("sqlite:"):
        options = {"connect_args": {"connect_timeout": CONNECT_SECONDS}}
    try:
        if url == JOURNAL:
            folder.mkdir(parents=True, exist_ok=True)
            # Optuna's lock is a link to the path as it is written here, so that a relative one would lead astray.
            return JournalStorage(JournalFileBackend(str(folder.resolve() / "journal.log")))
        return RDBStorage(url, engine_kwargs=options)
    except Exception as error:  # SQLAlchemy, its drivers and a damaged journal raise many kinds
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        problem = f"the storage {masked(url)} does not answer ({told})"
        raise UserError(
            study.path, problem, f"start the database, or set storage to its URL or to {JOURNAL}"
        ) from error


def _changes(old: Any, new: Any) -> str:
    """What differs between two parts of an identity, by key."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{_text(old)} then, {_text(new)} now"
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    inner = [_changes(old.get(key), new.get(key)) for key in keys]
    return "; ".join(f"{key} {change}" for key, change in zip(keys, inner, strict=True))


def _text(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)
