"""What a verdict costs: the networks that an undecided claim wants for its seeds, and the time of their like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from statistics import fmean
from typing import Any

from rdt.claims.claim import Judgement
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan, plan
from rdt.experiment.runs import NetworkId, Run
from rdt.experiment.settings import Seeds
from rdt.experiment.sides import with_sides
from rdt.files import read_json
from rdt.provenance.manifest import manifest_path
from rdt.provenance.steps import Chain, training

Tables = Mapping[str, Mapping[str, Any]]  # in the form of tables.yaml
Like = tuple[str, str, int]  # kind and stage of a network, and its epochs of cross-entropy


@dataclass(frozen=True)
class Price:
    """Networks that are still to be trained for the seeds that an undecided claim needs.

    ``core_hours``: of these networks, by the mean of those of their kind that have been trained; None where one
    kind has not been. ``after``: the same of those that the claims before it in the list leave.
    """

    judgement: Judgement
    networks: tuple[NetworkId, ...]
    core_hours: float | None
    after: float | None


def prices(judgements: Sequence[Judgement], made: Plan, tables: Tables, paths: Paths) -> list[Price]:
    """Prices of the undecided claims that seeds alone would decide, the cheapest first.

    ``made``: the plan with its side plans, whose networks tell the time of their like.
    """
    open_ones = [judgement for judgement in judgements if _seeds_decide(judgement)]
    plans: dict[int, Plan] = {}
    wanted = []
    for judgement in open_ones:
        seeds = judgement.needed.seeds
        if seeds not in plans:
            more = replace(made.experiment, seeds=more_seeds(made.experiment.seeds, seeds))
            plans[seeds] = with_sides(plan(more, tables), tables)
        wanted.append((judgement, missing_networks(judgement, plans[seeds], paths)))
    runs = {name: run for more in plans.values() for name, run in more.runs.items()}
    hours = mean_core_hours(made, paths)
    found = [(_sum(networks, runs, hours), judgement, networks) for judgement, networks in wanted]
    found.sort(key=lambda one: (one[0] is None, one[0] or 0.0))
    listed, bought = [], set()
    for whole, judgement, networks in found:
        left = [network for network in networks if network not in bought]
        listed.append(Price(judgement, networks, whole, _sum(left, runs, hours)))
        bought.update(networks)
    return listed


def _seeds_decide(judgement: Judgement) -> bool:
    """Whether more seeds on the images at hand would decide a claim."""
    if judgement.verdict != "undecided" or judgement.needed is None:
        return False
    return judgement.needed.images <= judgement.comparisons[0].difference.units


def more_seeds(own: Seeds, least: int) -> Seeds:
    """Seeds of which each phase has ``least`` or more: those of an experiment, then the first that it has not."""

    def enough(some: Sequence[int]) -> tuple[int, ...]:
        return (*some, *islice((seed for seed in count() if seed not in some), max(0, least - len(some))))

    return replace(own, xe=enough(own.xe), rl=enough(own.rl), grid=enough(own.grid) if own.grid else ())


def missing_networks(judgement: Judgement, wanted: Plan, paths: Paths) -> tuple[NetworkId, ...]:
    """Networks behind a claim's cells in a plan of more seeds that have not been trained yet, in a valid order."""
    rows = {(side.table, side.row) for pair in judgement.comparisons for side in (pair.better, pair.than)}
    stages = {side.stage for pair in judgement.comparisons for side in (pair.better, pair.than)}
    cells = [*wanted.cells, *(cell for side in wanted.sides for cell in side.plan.cells)]
    asked = [cell for cell in cells if (cell.table, cell.row) in rows and cell.stage in stages]
    networks = dict.fromkeys(NetworkId(run, cell.stage) for cell in asked for run in cell.runs)
    steps = Chain(wanted, paths).behind(*(training(wanted, paths, *network) for network in networks))
    trained = [step for step in steps if step.name == "train" and not manifest_path(step.target).is_file()]
    return tuple(NetworkId(step.where["run"], step.where["stage"]) for step in trained)


def mean_core_hours(made: Plan, paths: Paths) -> dict[Like, float]:
    """Mean time of a plan's trained networks by their kind: wall time of their threads."""
    seconds: dict[Like, list[float]] = {}
    for run, stage in made.trainings:
        path = manifest_path(paths.stage(run, stage))
        if path.is_file():
            seconds.setdefault(_like(made.runs[run], stage), []).append(read_json(path)["wall_seconds"])
    threads = made.experiment.training.threads * made.experiment.training.processes
    return {like: fmean(found) * threads / 3600 for like, found in seconds.items()}


def _like(run: Run, stage: str) -> Like:
    return run.kind, stage, run.xe_epochs


def _sum(networks: Sequence[NetworkId], runs: Mapping[str, Run], hours: Mapping[Like, float]) -> float | None:
    """Core-hours of networks; None where one is of a kind whose time is not known."""
    each = [hours.get(_like(runs[network.run], network.stage)) for network in networks]
    return None if None in each else sum(each)
