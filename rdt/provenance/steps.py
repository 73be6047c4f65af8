"""The chain from the data to the tables: what makes each output, from which settings and files.

One place for what the stages write into their manifests, so that ``rdt why`` can say what they would
write now. Pure functions of an experiment; nothing here reads the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rdt.data.dataset import skip_list
from rdt.data.published import PUBLISHED
from rdt.digests import ROOT
from rdt.experiment.differences import FILE, DifferencePaths, difference_tables
from rdt.experiment.paths import Paths
from rdt.experiment.plan import TABLES_FILE, CaptionJob, Plan
from rdt.experiment.runs import data_configuration, resolved_configuration, settings_digest
from rdt.experiment.settings import Experiment, Role, pool_role

CLAIMS_FILE = PUBLISHED.parent / "claims.yaml"
REPORT_FORMS = ROOT / "rdt" / "report"


@dataclass(frozen=True)
class Step:
    """One output and the stage command behind it.

    ``name`` is the command, ``code`` the module whose digest decides a rerun. ``target`` is the folder or file
    that is made; where a job makes less than a folder or more than a file, ``files`` are all that it makes and
    ``target`` stands for them.
    """

    name: str
    target: Path
    code: str
    configuration: Mapping[str, Any]
    inputs: Mapping[str, Path]
    files: tuple[Path, ...] = ()


def named(path: Path) -> Path:
    """A file of the repository as a user in its folder would call it."""
    return path.resolve().relative_to(ROOT) if Path.cwd() == ROOT else path


def annotations(experiment: Experiment, paths: Paths, role: Role) -> dict[str, Path]:
    """The files that say which images a role has, with their captions."""
    data, root = experiment.data[role], Path(experiment.data_root)
    if data.source == "scenes":
        return {"annotations": paths.scenes(role) / "dataset.json"}
    skipped = skip_list(data, root)
    return {"annotations": root / data.annotations} | ({} if skipped is None else {"skipped": skipped})


def _of(prefix: str, files: Mapping[str, Path]) -> dict[str, Path]:
    """``files`` under names that tell whose they are."""
    return {f"{name}/{prefix}": path for name, path in files.items()}


# ---- data and features


def scenes(experiment: Experiment, paths: Paths, role: Role) -> Step:
    """The rendered images and annotations of a role."""
    settings = {"data": data_configuration(experiment, role)}
    return Step("scenes", paths.scenes(role), "rdt.data.scenes.build", settings, {})


def vocabulary(experiment: Experiment, paths: Paths, role: Role) -> Step:
    """The words of a role's train split."""
    return Step(
        "vocabulary",
        paths.vocabulary(role),
        "rdt.data.vocabulary",
        {"min_count": experiment.method.min_count},
        annotations(experiment, paths, role),
    )


def encoder(experiment: Experiment, paths: Paths) -> Step:
    """The encoder of the primary train split; the probe's report lies in its folder too."""
    return Step(
        "encoder",
        paths.encoder,
        "rdt.commands.encoder",
        {"encoder": asdict(experiment.encoder)},
        {**annotations(experiment, paths, "primary"), "vocabulary": paths.vocabulary("primary")},
        files=(paths.encoder / "model.safetensors",),
    )


def features(experiment: Experiment, paths: Paths, role: Role) -> Step:
    """The feature store of a role, encoded or imported."""
    inputs = annotations(experiment, paths, role)
    if not experiment.data[role].features:
        inputs |= {"encoder": paths.encoder / "model.safetensors", "vocabulary": paths.vocabulary("primary")}
    settings = {"data": data_configuration(experiment, role)}
    return Step("features", paths.features(role), "rdt.commands.features", settings, inputs)


def probe(experiment: Experiment, paths: Paths) -> Step:
    """What the features of the primary role tell."""
    return Step(
        "probe",
        paths.probe,
        "rdt.commands.probe",
        {},
        {
            **annotations(experiment, paths, "primary"),
            "features": paths.features("primary"),
            "layout": paths.scenes("primary") / "layout.npz",
        },
    )


def index(experiment: Experiment, paths: Paths, role: Role) -> Step:
    """The sentences that are retrieved for the images of a role."""
    method, source = experiment.method, pool_role(role)
    return Step(
        "index",
        paths.index(role),
        "rdt.commands.index",
        {"retrieved": method.retrieved, "exclude_own": method.exclude_own, "pool": source},
        {
            "features": paths.features(role),
            "pool_features": paths.features(source),
            **annotations(experiment, paths, source),
        },
    )


# ---- networks and captions


def training(plan: Plan, paths: Paths, run: str, stage: str) -> Step:
    """The weights of one network."""
    role = plan.runs[run].role
    earlier, captions = plan.inputs(run, stage)
    inputs = {
        **annotations(plan.experiment, paths, role),
        "features": paths.features(role),
        "index": paths.index(role),
        "vocabulary": paths.vocabulary(role),
    }
    inputs |= {f"{job.run}/{job.variant}/{job.split}": caption_file(paths, job) for job in captions}
    inputs |= {name: paths.stage(before, name) for before, name in earlier}
    settings = resolved_configuration(plan.experiment, plan.runs[run])
    return Step("train", paths.stage(run, stage), "rdt.commands.train", settings, inputs)


def captions(plan: Plan, paths: Paths, run: str, stage: str) -> tuple[Step, ...]:
    """The caption folders that one command fills: that of the stage itself, and those of other numbers of steps."""
    jobs = plan.captions_of(run, stage)
    variants = dict.fromkeys(job.variant for job in jobs)
    return tuple(_caption_folder(plan, paths, [job for job in jobs if job.variant == name]) for name in variants)


def _caption_folder(plan: Plan, paths: Paths, jobs: list[CaptionJob]) -> Step:
    run, stage = jobs[0].run, jobs[0].stage
    trained_on = plan.runs[run].role
    inputs = {"weights": paths.stage(run, stage), "vocabulary": paths.vocabulary(trained_on)}
    for role in dict.fromkeys(job.role for job in jobs):
        inputs |= _of(role, annotations(plan.experiment, paths, role))
        inputs |= _of(role, {"features": paths.features(role), "index": paths.index(role)})
    first = dict.fromkeys(first for job in jobs for first in plan.caption_inputs(job))
    inputs |= {f"{job.run}/{job.variant}": caption_file(paths, job).parent for job in first}
    settings = {f"{job.variant}-{job.role}-{job.split}": {"draws": job.draws, "steps": job.steps} for job in jobs}
    return Step(
        "captions",
        caption_file(paths, jobs[0]).parent,
        "rdt.commands.captions",
        settings,
        inputs,
    )


def caption_file(paths: Paths, job: CaptionJob) -> Path:
    """The ordinary caption file of a job."""
    return paths.captions(job.run, job.variant, job.role, job.split)


# ---- scores and tables


def score(plan: Plan, paths: Paths, role: Role, split: str) -> Step:
    """The scores of all networks on one split, and those of its baselines."""
    experiment, pool = plan.experiment, pool_role(role)
    cells = [cell for cell in plan.cells if (cell.role, cell.split) == (role, split)]
    networks = plan.scored(role, split)
    documents = [paths.scores(run, stage, role, split) for run, stage in networks]
    vocabularies = dict.fromkeys(plan.runs[run].role for run, _ in networks)
    return Step(
        "score",
        paths.score_set(role, split),
        "rdt.commands.score",
        {"rows": settings_digest({str(at): asdict(cell) for at, cell in enumerate(cells)})},
        {
            **_of(role, annotations(experiment, paths, role)),
            **_of(pool, annotations(experiment, paths, pool)),
            "index": paths.index(role),
            **{f"vocabulary/{trained_on}": paths.vocabulary(trained_on) for trained_on in vocabularies},
            **{f"{run}/{stage}": paths.captions(run, stage, role, split).parent for run, stage in networks},
        },
        files=(
            *(file for path in documents for file in (path, path.with_suffix(".parquet"))),
            paths.baselines(role, split),
        ),
    )


def tables(plan: Plan, paths: Paths) -> Step:
    """The tables in all formats, and the page about them."""
    experiment = plan.experiment
    inputs = _measured(plan, paths)
    if experiment.data["primary"].source == "scenes":
        inputs["probe"] = paths.probe
    inputs |= {f"{run}/{stage}": paths.captions(run, stage, "", "").parent for run, stage in plan.server}
    kinds = (".csv", ".md", ".tex", "_tests.csv")
    files = [paths.tables / f"table_{name}{kind}" for name in experiment.tables for kind in kinds]
    files += [paths.tables / "server_RDT.zip"] if plan.server else []
    settings = {"tables": list(experiment.tables)}
    files = (*files, paths.reports / "README.md")
    return Step("tables", paths.tables, "rdt.commands.tables", settings, inputs, files)


def claims(plan: Plan, paths: Paths) -> Step:
    """The verdicts on the paper's claims."""
    inputs = {**_measured(plan, paths), "claims": named(CLAIMS_FILE)}
    files = (paths.claims, paths.claims.with_suffix(".csv"))
    return Step("claims", paths.claims, "rdt.commands.claims", {}, inputs, files=files)


def report(plan: Plan, paths: Paths) -> Step:
    """The page that shows all of it."""
    shown = dict.fromkeys((run, cell.stage) for cell in plan.cells for run in cell.runs)
    networks = {f"{run}/{stage}": paths.stage(run, stage) for run, stage in shown}
    forms = {name: named(REPORT_FORMS / name) for name in ("page.html", "style.css")}
    inputs = {**_measured(plan, paths), "tables": paths.tables, "verdicts": paths.claims, **networks, **forms}
    return Step("report", paths.report, "rdt.report.page", {}, inputs)


def _measured(plan: Plan, paths: Paths) -> dict[str, Path]:
    """What the tables and the claims both read: the scores of all splits, the rows, the paper's numbers."""
    drawn = {(run, cell.stage): cell for cell in plan.cells if cell.draws for run in cell.runs}
    trained_on = dict.fromkeys(plan.runs[run].role for run, _ in drawn)
    return {
        **{f"scores/{role}-{split}": paths.score_set(role, split) for role, split in plan.score_sets},
        **{
            f"{run}/{stage}": paths.captions(run, stage, cell.role, cell.split).parent
            for (run, stage), cell in drawn.items()
        },
        **{f"vocabulary/{role}": paths.vocabulary(role) for role in trained_on},
        "rows": named(TABLES_FILE),
        **{f"published/{name}": named(PUBLISHED / f"table_{name}.csv") for name in plan.experiment.tables},
    }


# ---- all of it


class Chain:
    """Every step that the stages of an experiment can make."""

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._makers: dict[Path, Step] = {}
        for step in _steps(plan, paths):
            self._makers |= dict.fromkeys((step.target, *step.files), step)

    def maker(self, path: Path) -> Step | None:
        """The step that makes ``path``, an output or a part of one; None for what no step makes."""
        makers = self._makers
        if path in makers:
            return makers[path]
        above = (makers[folder] for folder in path.parents if folder in makers)
        return next((step for step in above if not step.files), None)

    def behind(self, *steps: Step) -> list[Step]:
        """These steps and all that they depend on, inputs first."""
        found: dict[Path, Step] = {}

        def visit(step: Step) -> None:
            if step.target not in found:
                for path in step.inputs.values():
                    maker = self.maker(path)
                    if maker is not None:
                        visit(maker)
                found[step.target] = step

        for step in steps:
            visit(step)
        return list(found.values())


def _steps(plan: Plan, paths: Paths) -> Iterator[Step]:
    experiment = plan.experiment
    for role, data in experiment.data.items():
        if data.source == "scenes":
            yield scenes(experiment, paths, role)
        yield vocabulary(experiment, paths, role)
        yield features(experiment, paths, role)
        yield index(experiment, paths, role)
    if experiment.encoder is not None:
        yield encoder(experiment, paths)
    if experiment.data["primary"].source == "scenes":
        yield probe(experiment, paths)
    for run, stage in plan.trainings:
        yield training(plan, paths, run, stage)
        yield from captions(plan, paths, run, stage)
    for role, split in plan.score_sets:
        yield score(plan, paths, role, split)
    yield tables(plan, paths)
    yield claims(plan, paths)
    yield report(plan, paths)


def differences(plan: Plan, paths: DifferencePaths) -> Step:
    """The scores of all differences, and the table of what they are worth."""
    scored = score(plan, paths, "primary", "test")
    files = [file for file in scored.files if file != paths.baselines("primary", "test")]
    return Step(
        "differences",
        paths.differences,
        "rdt.commands.differences",
        {"rows": settings_digest(difference_tables(plan.experiment))},
        scored.inputs | {"differences": named(FILE)},
        files=(*files, paths.differences),
    )
