"""From the rows of the tables to the training runs and caption files that they need.

Pure functions of an experiment and of ``experiments/tables.yaml``: nothing is read from the results.
Two cells with the same resolved configuration name the same run, so nothing is trained twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rdt.digests import ROOT
from rdt.errors import UserError
from rdt.experiment.given import GIVEN_STAGE, given_run, rows_of_table
from rdt.experiment.runs import NetworkId, Run, captioner, override, teacher_of
from rdt.experiment.settings import Experiment, Phase, Role, Stage
from rdt.files import read_yaml

TABLES_FILE = ROOT / "experiments" / "tables.yaml"
PHASE_TITLES = {"xe": "cross-entropy", "rl": "CIDEr optimisation"}
DRAWS = 5  # captions per image where a table asks for `draws`, each from another random conditional sentence


@dataclass(frozen=True)
class CaptionJob:
    """Caption files of one network on one split.

    ``variant`` is the name of their folder: the stage, or for instance ``xe@T1`` for another number of sampling
    steps. ``draws`` more files hold captions from randomly drawn conditional sentences. ``steps`` is T of Alg. 1,
    0 for the teacher.
    """

    run: str
    variant: str
    role: Role
    split: str
    draws: int
    steps: int

    @property
    def stage(self) -> Stage:
        """The stage of the network that speaks."""
        return self.variant.partition("@")[0]


@dataclass(frozen=True)
class Cell:
    """One position of a table: a quoted one has no runs, a measured one has a run per seed.

    ``reason`` says why a measured cell is not planned, as it is to appear in the table ("" if it is planned).
    """

    table: str
    group: str
    row: str
    column: str
    metric: str
    measured: bool
    runs: tuple[str, ...]
    stage: Stage
    role: Role
    split: str
    references: str
    domain: str
    draws: int
    reason: str

    @property
    def scope(self) -> str:
        """The set of references, and the domain if there is one: ``c5``, ``all/near``."""
        return f"{self.references}/{self.domain}" if self.domain else self.references


@dataclass(frozen=True)
class Plan:
    """What an experiment trains, captions and tabulates; ``trainings`` are in a valid order."""

    experiment: Experiment
    runs: Mapping[str, Run]
    trainings: tuple[NetworkId, ...]
    captions: tuple[CaptionJob, ...]
    cells: tuple[Cell, ...]
    one_step: tuple[NetworkId, ...]  # also captioned with T = 1
    sides: tuple[SidePlan, ...] = ()  # beside the tables; cells and score sets above are the tables' alone

    def stages(self, run: str | Run) -> tuple[Stage, ...]:
        """The stages of a run that something needs, in the order in which they are trained."""
        wanted = run.id if isinstance(run, Run) else run
        return tuple(stage for name, stage in self.trainings if name == wanted)

    def teacher(self, run: str | Run) -> Run:
        """The teacher that guides the second stage of a captioner."""
        return teacher_of(self.experiment, run if isinstance(run, Run) else self.runs[run])

    def caption_job(self, run: str, variant: str, role: str, split: str) -> CaptionJob:
        """The caption job of one folder; raises KeyError when nothing needs it."""
        for job in self.captions:
            if (job.run, job.variant, job.role, job.split) == (run, variant, role, split):
                return job
        raise KeyError((run, variant, role, split))

    def captions_of(self, run: str, stage: Stage) -> tuple[CaptionJob, ...]:
        """What one trained network captions, with its own number of steps and with others."""
        return tuple(job for job in self.captions if (job.run, job.stage) == (run, stage))

    @property
    def score_sets(self) -> list[tuple[Role, str]]:
        """The (role, split) whose captions are scored: an experiment may lack the data of a table's columns."""
        return list(dict.fromkeys((cell.role, cell.split) for cell in self.cells if cell.runs))

    def scored(self, role: str, split: str) -> dict[tuple[str, str], tuple[Cell, ...]]:
        """(run, variant) of all captions of a split, with the cells that ask about each; with T = 1 none does."""
        asking: dict[tuple[str, str], tuple[Cell, ...]] = {}
        for cell in self.cells:
            if (cell.role, cell.split) == (role, split):
                for run in cell.runs:
                    asking[run, cell.stage] = (*asking.get((run, cell.stage), ()), cell)
        jobs = (job for job in self.captions if (job.role, job.split) == (role, split))
        return asking | {(job.run, job.variant): () for job in jobs if job.variant != job.stage}

    def learnt(self, role: str, split: str) -> bool:
        """Whether a network is scored on a split that was trained here, rather than given captions alone."""
        cells = (cell for cell in self.cells if (cell.role, cell.split) == (role, split))
        return any(self.runs[run].kind != "given" for cell in cells for run in cell.runs)

    def phase(self, run: str, stage: Stage) -> str:
        """What a network was trained for; of a given run, where its captions are from."""
        return "captions made elsewhere" if self.runs[run].kind == "given" else phase_title(stage)

    def side(self, name: str) -> SidePlan:
        """The side plan of that name."""
        return next(side for side in self.sides if side.name == name)

    def inputs(self, run: str | Run, stage: Stage) -> tuple[tuple[NetworkId, ...], tuple[CaptionJob, ...]]:
        """What the training of ``stage`` reads: the earlier networks and the caption jobs."""
        return _training_needs(self.experiment, run if isinstance(run, Run) else self.runs[run], stage)

    def caption_inputs(self, job: CaptionJob) -> tuple[CaptionJob, ...]:
        """Captions of the first network that a second one starts from, on the same images."""
        return _caption_needs(self.experiment, self.runs[job.run], job)


@dataclass(frozen=True)
class SidePlan:
    """Tables beside the paper's, which ``file`` lists, with a plan of their own; see :mod:`rdt.experiment.sides`."""

    name: str
    file: Path
    tables: Mapping[str, Mapping[str, Any]]
    plan: Plan


def load_tables(path: Path = TABLES_FILE) -> dict[str, dict[str, Any]]:
    """The rows and columns of every table, keyed by its Roman numeral."""
    return read_yaml(path, dict, "tables by name")


def stage_name(phase: Phase, cascades: int) -> Stage:
    """Stage folder of the last of ``cascades`` networks: xe or xe2, rl or rl2."""
    return phase if cascades == 1 else f"{phase}{cascades}"


def phase_title(stage: Stage) -> str:
    """What a stage trains for: xe and xe2 cross-entropy, rl and rl2 CIDEr optimisation."""
    return PHASE_TITLES[stage[:2]]


def plan(experiment: Experiment, tables: Mapping[str, Mapping[str, Any]]) -> Plan:
    """Cells of the experiment's tables, and the closure of the runs, stages and captions that they need.

    Raises UserError when a row overrides something that is not a field of the method.
    """
    _check_rows(experiment, tables)
    runs: dict[str, Run] = {}
    cells: list[Cell] = []
    jobs: list[CaptionJob] = []
    one_step: list[NetworkId] = []
    for name in (name for name in tables if name in experiment.tables):
        for row in rows_of_table(experiment, name, tables[name]):
            for part in tables[name]["parts"]:
                stage, row_runs, reason = _row_runs(experiment, name, tables[name], row, part)
                runs |= {run.id: run for run in row_runs}
                cells += _row_cells(name, row, part, stage, row_runs, reason)
                draws = DRAWS if part.get("draws") else 0
                for position, run in enumerate(row_runs):
                    network = NetworkId(run.id, stage)
                    jobs.append(caption_job(experiment, run, stage, part["role"], part["split"], draws))
                    if position == 0 and row.get("one_step") and part["phase"] == "xe":
                        one_step.append(network)
                        jobs.append(caption_job(experiment, run, f"{stage}@T1", part["role"], part["split"], steps=1))
    trainings, captions = _close(experiment, runs, jobs)
    return Plan(experiment, runs, trainings, captions, tuple(cells), tuple(one_step))


def _check_rows(experiment: Experiment, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UserError for a name in ``rows`` that is no row to run, and for an extra row with another one's name."""
    for name, extra in experiment.extra_rows.items():
        labels = [row["row"] for row in tables[name]["rows"]] if name in tables else []
        for row in extra:
            if row.row in labels:
                problem = f"extra_rows.{name}: Table {name} has a row '{row.row}' already"
                raise UserError(experiment.path, problem, "give it another label")
            labels.append(row.row)
    for name, wanted in experiment.rows.items():
        known = [row["row"] for row in rows_of_table(experiment, name, tables[name]) if is_measured(row)]
        for row in wanted:
            if row not in known:
                hint = f"choose among: {', '.join(known)}"
                raise UserError(experiment.path, f"rows.{name}: '{row}' is no row to run of Table {name}", hint)


def caption_job(
    experiment: Experiment,
    run: Run,
    variant: str,
    role: Role,
    split: str,
    draws: int = 0,
    steps: int | None = None,
) -> CaptionJob:
    """The caption job of ``run``; the train split, which only later stages read, takes ``cascade_steps``."""
    if run.kind == "given":
        return CaptionJob(run.id, variant, role, split, 0, 0)
    if run.kind == "teacher":
        return CaptionJob(run.id, variant, role, split, draws, 0)
    if steps is None:
        steps = experiment.training.cascade_steps if split == "train" else run.method.steps
    return CaptionJob(run.id, variant, role, split, draws, steps)


def _row_runs(
    experiment: Experiment, name: str, table: Mapping[str, Any], row: Mapping[str, Any], part: Mapping[str, Any]
) -> tuple[Stage, tuple[Run, ...], str]:
    """Stage, runs (one per seed) and reason for their absence of a row in one block of columns."""
    training = experiment.training
    cascades = {"tables": training.cascades, "ablation": training.ablation_cascades}[table["cascades"]]
    is_teacher = bool(row.get("teacher"))
    stage = stage_name(part["phase"], 1 if is_teacher else cascades)
    if not is_measured(row):
        return stage, (), ""
    if "captions" in row:
        return GIVEN_STAGE, *_given_runs(experiment, row, part)
    if row["row"] not in experiment.rows.get(name, (row["row"],)):
        return stage, (), "not run: this budget leaves the row out"
    train_role = part.get("train_role", part["role"])
    for role in (part["role"], train_role):
        if role not in experiment.data:
            return stage, (), f"not run: no data for {role}"
    epochs = "teacher_rl_epochs" if is_teacher else "rl_epochs"
    if part["phase"] == "rl" and getattr(training, epochs) == 0:
        return stage, (), f"not run: training.{epochs} is 0"
    method = override(experiment.method, row.get("run", {}), f"Table {name}, row '{row['row']}'")
    is_grid = bool(table.get("grid"))
    xe_epochs = row.get("xe_epochs", training.grid_xe_epochs if is_grid else training.xe_epochs)
    seeds = experiment.seeds.of(part["phase"], is_grid)
    runs = [captioner(experiment, method, train_role, seed, xe_epochs) for seed in seeds]
    return stage, tuple(teacher_of(experiment, run) if is_teacher else run for run in runs), ""


def _given_runs(experiment: Experiment, row: Mapping[str, Any], part: Mapping[str, Any]) -> tuple[tuple[Run, ...], str]:
    """The run of a row from results files in one block of columns, or the reason for its absence."""
    role, split = part["role"], part["split"]
    if role not in experiment.data:
        return (), f"not run: no data for {role}"
    run = given_run(experiment, row, role, split, Path(experiment.path))
    return ((), f"not run: no captions of {role}/{split} were given") if run is None else ((run,), "")


def is_measured(row: Mapping[str, Any]) -> bool:
    """Whether a row of a table is ours to run, rather than another group's to quote."""
    return "run" in row or "captions" in row or bool(row.get("teacher"))


def _row_cells(
    name: str, row: Mapping[str, Any], part: Mapping[str, Any], stage: Stage, runs: Iterable[Run], reason: str
) -> list[Cell]:
    return [
        Cell(
            table=name,
            group=row.get("group", ""),
            row=row["row"],
            column=column_name(part, metric),
            metric=metric,
            measured=is_measured(row),
            runs=tuple(run.id for run in runs),
            stage=stage,
            role=part["role"],
            split=part["split"],
            references=part["references"],
            domain=part.get("domain", ""),
            draws=DRAWS if part.get("draws") else 0,
            reason=reason,
        )
        for metric in part["metrics"]
    ]


def column_name(part: Mapping[str, Any], metric: str) -> str:
    """``part/metric``, or the metric alone in a table of one block."""
    return f"{part['id']}/{metric}" if "id" in part else metric


# Closure over what later stages read


def _training_needs(
    experiment: Experiment, run: Run, stage: Stage
) -> tuple[tuple[NetworkId, ...], tuple[CaptionJob, ...]]:
    """Earlier networks and caption jobs that the training of ``stage`` reads."""
    if run.kind == "teacher":
        return ((NetworkId(run.id, "xe"),) if stage == "rl" else ()), ()
    earlier = {"xe": (), "xe2": ("xe",), "rl": ("xe",), "rl2": ("xe2", "rl")}[stage]
    captions: list[CaptionJob] = []
    if stage.endswith("2"):
        first = stage[:-1]
        captions += [caption_job(experiment, run, first, run.role, split) for split in ("train", run.method.select_on)]
    if stage.startswith("rl"):
        teacher = teacher_of(experiment, run)
        last = "rl" if experiment.training.teacher_rl_epochs else "xe"
        captions.append(caption_job(experiment, teacher, last, run.role, "train"))
    return tuple(NetworkId(run.id, before) for before in earlier), tuple(captions)


def _caption_needs(experiment: Experiment, run: Run, job: CaptionJob) -> tuple[CaptionJob, ...]:
    if run.kind == "teacher" or not job.stage.endswith("2"):
        return ()
    first = job.stage[:-1]
    return (caption_job(experiment, run, first, job.role, job.split, job.draws),)


def _close(
    experiment: Experiment, runs: dict[str, Run], wanted: Iterable[CaptionJob]
) -> tuple[tuple[NetworkId, ...], tuple[CaptionJob, ...]]:
    """All trainings and caption jobs behind the ``wanted`` ones, inputs first; adds teachers to ``runs``."""
    trainings: dict[NetworkId, None] = {}
    captions: dict[tuple[str, str, str, str], CaptionJob] = {}

    def train(run: Run, stage: Stage) -> None:
        if (run.id, stage) in trainings:
            return
        before, read = _training_needs(experiment, run, stage)
        if run.kind == "captioner" and stage.startswith("rl"):
            teacher = teacher_of(experiment, run)
            runs.setdefault(teacher.id, teacher)
        for name, earlier in before:
            train(runs[name], earlier)
        for job in read:
            caption(job)
        trainings[NetworkId(run.id, stage)] = None

    def caption(job: CaptionJob) -> None:
        run = runs[job.run]
        if run.kind != "given":
            train(run, job.stage)
        for first in _caption_needs(experiment, run, job):
            caption(first)
        key = (job.run, job.variant, job.role, job.split)
        old = captions.get(key)
        captions[key] = replace(job, draws=max(job.draws, old.draws if old else 0))

    for job in wanted:
        caption(job)
    return tuple(trainings), tuple(captions.values())


def cell_name(cell: Cell) -> str:
    """``table/row/column``."""
    return f"{cell.table}/{cell.row}/{cell.column}"


def cells_by_name(plan: Plan) -> dict[str, Cell]:
    """Every cell of a plan."""
    return {cell_name(cell): cell for cell in plan.cells}


def find_cell(plan: Plan, name: str) -> Cell:
    """The cell of that name; UserError, with the nearest names, where there is none."""
    cells = cells_by_name(plan)
    if name not in cells:
        near = difflib.get_close_matches(name, cells, n=3, cutoff=0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its tables are {', '.join(plan.experiment.tables)}"
        raise UserError("CELL", f"'{name}' is no cell of experiment {plan.experiment.name}", hint)
    return cells[name]
