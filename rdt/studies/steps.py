"""The steps of a study, beside the chain that its experiment has anyway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.experiment.runs import settings_digest
from rdt.provenance.steps import Step, study_compare, study_export, study_init, study_retrain, study_worker
from rdt.studies.file import SETTINGS, Study


def study_steps(study: Study, plan: Plan, paths: Paths) -> Iterator[Step]:
    """All that a study makes for an experiment, in order."""
    settings = {
        **study.common(study.budgeted(plan.experiment)),
        "sampler": asdict(study.sampler),
        "pruner": study.pruner and asdict(study.pruner),
        "trials": study.trials,
        "storage": settings_digest({"storage": study.storage}),  # its URL may hold a password
    }
    yield study_init(plan, paths, study.name, settings)
    for worker in range(study.workers):
        yield study_worker(plan, paths, study.name, worker)
    yield study_export(plan, paths, study.name, [f"{name}.png" for name in study.plots])
    networks = [(setting, seed) for setting in SETTINGS for seed in study.retrain_seeds]
    for network in networks:
        yield study_retrain(plan, paths, study.name, *network)
    yield study_compare(plan, paths, study.name, networks)
