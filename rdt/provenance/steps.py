"""The chain from the data to the tables: what makes each output, from which settings and files.

The one list of its steps. The rules take from it what they wait for, watch and make, the commands what they write into
their manifests, and ``rdt why`` what they would write now. Functions of an experiment; no result is read but the
manifests of imported ones, and of the files that may be there (a user's list of images to skip, the side plans that a
report shows) only whether they are.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdt.data.dataset import skip_list
from rdt.data.published import PUBLISHED
from rdt.digests import MANIFEST, ROOT
from rdt.errors import UserError
from rdt.experiment.given import GIVEN_STAGE
from rdt.experiment.paths import Paths
from rdt.experiment.plan import TABLES_FILE, CaptionJob, Cell, Plan, SidePlan
from rdt.experiment.readings import READINGS_FILE
from rdt.experiment.runs import (
    NetworkId,
    data_configuration,
    encoder_configuration,
    resolved_configuration,
    settings_digest,
    stated,
)
from rdt.experiment.settings import Experiment, Role, pool_role
from rdt.experiment.sides import SidePaths
from rdt.files import read_json
from rdt.provenance.imported import imported
from rdt.provenance.manifest import manifest_path

CLAIMS_FILE = PUBLISHED.parent / "claims.yaml"
COST_FILE = PUBLISHED.parent / "attention_cost.json"
REPORT_FORMS = ROOT / "rdt" / "report"
ARRAYS = ("image_ids.npy", "grid.npy", "global.npy", "caption_image.npy", "caption_global.npy")
WEIGHTS = ("model.safetensors", "raw.safetensors", "config.json", "curves.csv")
TRIALS = ("trials.csv", "best.yaml")
COMPARISON = ("README.md", "comparison.json")
FORMATS = (".csv", ".md", ".tex", "_tests.csv")


@dataclass(frozen=True)
class Kind:
    """A command of the chain: the module that makes its results, and the files that its rule makes and waits for.

    ``declares`` takes a plan, its paths and the rule's wildcards, by value or as patterns (``{role}``). Of a folder
    it names the main files; where it names one file of many, that is written last and stands for the others.
    """

    code: str
    declares: Callable[..., tuple[Path, ...]]


KINDS = {
    "scenes": Kind("rdt.data.scenes.build", lambda _, at, role: _in(at.scenes(role), "dataset.json", "layout.npz")),
    "vocabulary": Kind("rdt.data.vocabulary", lambda _, at, role: (at.vocabulary(role),)),
    "encoder": Kind("rdt.training.encoder", lambda _, at: _in(at.encoder, "model.safetensors")),
    "features": Kind("rdt.features.fill", lambda _, at, role: _in(at.features(role), *ARRAYS)),
    "probe": Kind("rdt.features.probe", lambda _, at: (at.probe,)),
    "index": Kind("rdt.features.retrieval", lambda _, at, role: _in(at.index(role), "retrieved.npz", "pool.txt")),
    "train": Kind("rdt.training.network", lambda _, at, run, stage: _in(at.stage(run, stage), *WEIGHTS)),
    "captions": Kind("rdt.captioning.files", lambda _, at, run, stage: _in(_captions(at, run, stage), MANIFEST)),
    "inspect": Kind("rdt.scoring.inspection", lambda _, at, run, stage: (at.inspection(run, stage),)),
    "score": Kind("rdt.scoring.split", lambda _, at, role, split: (at.baselines(role, split),)),
    "tables": Kind("rdt.tables.write", lambda plan, at: _table_files(plan, at)),
    "claims": Kind("rdt.claims.write", lambda _, at: (at.claims, at.claims.with_suffix(".csv"), at.verdicts)),
    "report": Kind("rdt.report.page", lambda _, at: (at.report,)),
    "differences": Kind("rdt.tables.differences", lambda _, at: (at.side_table("differences"),)),
    "controls": Kind("rdt.tables.controls", lambda _, at: (at.side_table("controls"),)),
    "study-init": Kind("rdt.studies.storage", lambda _, at, study: _in(at.study(study), "study.json")),
    "study-worker": Kind("rdt.studies.trial", lambda _, at, study, worker: (at.study_worker(study, worker),)),
    "study-export": Kind("rdt.studies.export", lambda _, at, study: _in(at.study_report(study), *TRIALS)),
    "study-retrain": Kind(
        "rdt.studies.comparison", lambda _, at, study, setting, seed: (at.compared(study, setting, seed),)
    ),
    "study-compare": Kind("rdt.studies.write", lambda _, at, study: _in(at.study_report(study), *COMPARISON)),
}


def _in(folder: Path, *names: str) -> tuple[Path, ...]:
    return tuple(folder / name for name in names)


def _captions(paths: Paths, run: str, variant: str) -> Path:
    """The caption folder of a network."""
    return paths.captions(run, variant, "", "").parent


def _table_files(plan: Plan, paths: Paths) -> tuple[Path, ...]:
    tables = [f"table_{name}{suffix}" for name in plan.experiment.tables for suffix in FORMATS]
    return (*_in(paths.tables, *tables), paths.reports / "README.md", paths.headline)


@dataclass(frozen=True)
class Step:
    """One output and the command behind it.

    ``name`` is the command, ``code`` the module whose digest decides a rerun. ``target`` is the folder or file
    that is made; where a job makes less than a folder or more than a file, ``files`` are all that it makes and
    ``target`` stands for them. ``where`` are the values of its rule's wildcards, ``declared`` the files that this
    declares; steps with the same are one job.
    """

    name: str
    target: Path
    code: str
    configuration: Mapping[str, Any]
    inputs: Mapping[str, Path]
    files: tuple[Path, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    declared: tuple[Path, ...] = ()


def _step(
    name: str,
    plan: Plan,
    paths: Paths,
    target: Path,
    configuration: Mapping[str, Any],
    inputs: Mapping[str, Path],
    files: Sequence[Path] = (),
    **where: str,
) -> Step:
    kind = KINDS[name]
    return Step(
        name, target, kind.code, configuration, inputs, tuple(files), where, kind.declares(plan, paths, **where)
    )


def named(path: Path) -> Path:
    """A file of the repository as a user in its folder would call it."""
    return path.resolve().relative_to(ROOT) if Path.cwd() == ROOT else path


def annotations(experiment: Experiment, paths: Paths, role: Role) -> dict[str, Path]:
    """The files that say which images a role has, with their captions."""
    data, root = experiment.data[role], Path(experiment.data_root)
    if data.source == "scenes":
        return {"annotations": paths.scenes(role) / "dataset.json"}
    skipped = skip_list(data, root)
    first, *more = (root / name for name in data.annotation_files)
    files = {"annotations": first} | {f"annotations_{n}": path for n, path in enumerate(more, start=2)}
    return files | ({} if skipped is None else {"skipped": skipped})


def _of(prefix: str, files: Mapping[str, Path]) -> dict[str, Path]:
    """``files`` under names that tell whose they are."""
    return {f"{name}/{prefix}": path for name, path in files.items()}


# ---- data and features


def scenes(plan: Plan, paths: Paths, role: Role) -> Step:
    """The rendered images and annotations of a role."""
    settings = {"data": data_configuration(plan.experiment, role)}
    return _step("scenes", plan, paths, paths.scenes(role), settings, {}, role=role)


def vocabulary(plan: Plan, paths: Paths, role: Role) -> Step:
    """The words of a role's train split."""
    settings = {"min_count": plan.experiment.method.min_count}
    inputs = annotations(plan.experiment, paths, role)
    return _step("vocabulary", plan, paths, paths.vocabulary(role), settings, inputs, role=role)


def encoder(plan: Plan, paths: Paths) -> Step:
    """The encoder of the primary train split; the probe's report lies in its folder too."""
    settings = {"encoder": encoder_configuration(plan.experiment.encoder)}
    inputs = {**annotations(plan.experiment, paths, "primary"), "vocabulary": paths.vocabulary("primary")}
    return _step("encoder", plan, paths, paths.encoder, settings, inputs, _in(paths.encoder, "model.safetensors"))


def features(plan: Plan, paths: Paths, role: Role) -> Step:
    """The feature store of a role, encoded or imported."""
    inputs = annotations(plan.experiment, paths, role)
    if not plan.experiment.data[role].features:
        inputs |= {"encoder": paths.encoder / "model.safetensors", "vocabulary": paths.vocabulary("primary")}
    settings = {"data": data_configuration(plan.experiment, role)}
    return _step("features", plan, paths, paths.features(role), settings, inputs, role=role)


def probe(plan: Plan, paths: Paths) -> Step:
    """What the features of the primary role tell."""
    inputs = {
        **annotations(plan.experiment, paths, "primary"),
        "features": paths.features("primary"),
        "layout": paths.scenes("primary") / "layout.npz",
    }
    return _step("probe", plan, paths, paths.probe, {}, inputs)


def index(plan: Plan, paths: Paths, role: Role) -> Step:
    """The sentences that are retrieved for the images of a role."""
    method, source = plan.experiment.method, pool_role(role)
    settings = {"retrieved": method.retrieved, "exclude_own": method.exclude_own, "pool": source}
    inputs = {
        "features": paths.features(role),
        "pool_features": paths.features(source),
        **annotations(plan.experiment, paths, source),
    }
    return _step("index", plan, paths, paths.index(role), settings, inputs, role=role)


# ---- networks and captions


def learnt_from(experiment: Experiment, paths: Paths, role: Role) -> dict[str, Path]:
    """What every network of a role is trained on."""
    return {
        **annotations(experiment, paths, role),
        "features": paths.features(role),
        "index": paths.index(role),
        "vocabulary": paths.vocabulary(role),
    }


def training(plan: Plan, paths: Paths, run: str, stage: str) -> Step:
    """The weights of one network; its card lies in their folder too.

    Earlier stages of its run are inputs by their names, captions of its first network and of its teacher as
    ``first/<split>`` and ``teacher/train``.
    """
    earlier, read = plan.inputs(run, stage)
    inputs = learnt_from(plan.experiment, paths, plan.runs[run].role)
    inputs |= {f"{'first' if job.run == run else 'teacher'}/{job.split}": caption_file(paths, job) for job in read}
    inputs |= {name: paths.stage(before, name) for before, name in earlier}
    settings = resolved_configuration(plan.experiment, plan.runs[run])
    files = KINDS["train"].declares(plan, paths, run, stage)
    return _step("train", plan, paths, paths.stage(run, stage), settings, inputs, files, run=run, stage=stage)


def captions(plan: Plan, paths: Paths, run: str, stage: str) -> tuple[Step, ...]:
    """Caption folders that one command fills: the stage's own, and one for each other number of steps."""
    jobs = plan.captions_of(run, stage)
    variants = dict.fromkeys(job.variant for job in jobs)
    return tuple(_caption_folder(plan, paths, [job for job in jobs if job.variant == name]) for name in variants)


def _caption_folder(plan: Plan, paths: Paths, jobs: list[CaptionJob]) -> Step:
    run, stage = jobs[0].run, jobs[0].stage
    if plan.runs[run].kind == "given":
        return _given_folder(plan, paths, jobs[0])
    inputs = {"weights": paths.stage(run, stage), "vocabulary": paths.vocabulary(plan.runs[run].role)}
    for role in dict.fromkeys(job.role for job in jobs):
        inputs |= _of(role, annotations(plan.experiment, paths, role))
        inputs |= _of(role, {"features": paths.features(role), "index": paths.index(role)})
    first = dict.fromkeys(first for job in jobs for first in plan.caption_inputs(job))
    inputs |= {f"{job.run}/{job.variant}": caption_file(paths, job).parent for job in first}
    settings = {f"{job.variant}-{job.role}-{job.split}": {"draws": job.draws, "steps": job.steps} for job in jobs}
    return _step("captions", plan, paths, caption_file(paths, jobs[0]).parent, settings, inputs, run=run, stage=stage)


def _given_folder(plan: Plan, paths: Paths, job: CaptionJob) -> Step:
    """The caption folder of captions that were made elsewhere, in the form of a network's."""
    inputs = {
        "results": Path(plan.runs[job.run].results),
        **_of(job.role, annotations(plan.experiment, paths, job.role)),
    }
    target, where = caption_file(paths, job).parent, {"run": job.run, "stage": job.stage}
    return _step("captions", plan, paths, target, {"role": job.role, "split": job.split}, inputs, **where)


def caption_file(paths: Paths, job: CaptionJob) -> Path:
    """The ordinary caption file of a job."""
    return paths.captions(job.run, job.variant, job.role, job.split)


# ---- inside of networks


def inspected(plan: Plan) -> tuple[NetworkId, ...]:
    """The networks that claims look into: those of Table II after cross-entropy, of a cascade the first ones."""
    cells = (cell for cell in plan.cells if cell.table == "II" and cell.stage.startswith("xe"))
    runs = dict.fromkeys(run for cell in cells for run in cell.runs if plan.runs[run].kind == "captioner")
    return tuple(NetworkId(run, "xe") for run in runs)


def inspection(plan: Plan, paths: Paths, run: str, stage: str) -> Step:
    """What one network does inside, on the test images of its role."""
    role = plan.runs[run].role
    inputs = {**learnt_from(plan.experiment, paths, role), "weights": paths.stage(run, stage)}
    if plan.experiment.data[role].source == "scenes":
        inputs["layout"] = paths.scenes(role) / "layout.npz"
    return _step("inspect", plan, paths, paths.inspection(run, stage), {}, inputs, run=run, stage=stage)


# ---- scores and tables


def score(plan: Plan, paths: Paths, role: Role, split: str) -> Step:
    """Scores of all networks on one split, and of its baselines."""
    inputs, documents = _scored(plan, paths, role, split)
    cells = [cell for cell in plan.cells if (cell.role, cell.split) == (role, split)]
    files = (*documents, paths.baselines(role, split))
    settings = _asked(plan, cells)
    return _step("score", plan, paths, paths.score_set(role, split), settings, inputs, files, role=role, split=split)


def _scored(plan: Plan, paths: Paths, role: Role, split: str) -> tuple[dict[str, Path], list[Path]]:
    """What the scores of all networks on one split are made from, and their files."""
    experiment, pool, networks = plan.experiment, pool_role(role), plan.scored(role, split)
    documents = [paths.scores(run, variant, role, split) for run, variant in networks]
    vocabularies = dict.fromkeys(plan.runs[run].role for run, _ in networks)
    inputs = {
        **_of(role, annotations(experiment, paths, role)),
        **_of(pool, annotations(experiment, paths, pool)),
        **({"index": paths.index(role)} if plan.learnt(role, split) else {}),
        **{f"vocabulary/{trained_on}": paths.vocabulary(trained_on) for trained_on in vocabularies},
        **{f"{run}/{variant}": _captions(paths, run, variant) for run, variant in networks},
    }
    return inputs, [file for path in documents for file in (path, path.with_suffix(".parquet"))]


def _asked(plan: Plan, cells: Sequence[Cell]) -> dict[str, str]:
    """What scores are made with: what is asked about networks, and the language where it is another than English."""
    return {"rows": _cells_digest(cells)} | stated(plan.experiment.metrics)


def _cells_digest(cells: Sequence[Cell]) -> str:
    """Digest of what is asked about networks."""
    return settings_digest({str(at): vars(cell) for at, cell in enumerate(cells)})


def tables(plan: Plan, paths: Paths) -> Step:
    """The tables in all formats, and the page about them."""
    inputs = _measured(plan, paths)
    if plan.experiment.data["primary"].source == "scenes" and plan.learnt("primary", "test"):
        inputs["probe"] = paths.probe
    settings = {"tables": list(plan.experiment.tables), "rows": _cells_digest(plan.cells)}
    return _step("tables", plan, paths, paths.tables, settings, inputs, _table_files(plan, paths))


def claims(plan: Plan, paths: Paths) -> Step:
    """The verdicts on the paper's claims, and on the controls where those were asked for before."""
    inputs = {**_measured(plan, paths), **_inside(plan, paths)}
    inputs |= {"claims": named(CLAIMS_FILE), "cost": named(COST_FILE), **_sides(plan, paths, "controls")}
    files = KINDS["claims"].declares(plan, paths)
    return _step("claims", plan, paths, paths.claims, {"rows": _cells_digest(plan.cells)}, inputs, files)


def report(plan: Plan, paths: Paths) -> Step:
    """The page that shows all of it, and of the side plans those that were asked for before."""
    shown = dict.fromkeys((run, cell.stage) for cell in plan.cells for run in cell.runs)
    known = imported(paths)
    inputs = {
        **_measured(plan, paths),
        **_inside(plan, paths),
        "tables": paths.tables,
        "verdicts": paths.claims,
        **{
            f"{run}/{stage}": _reported(paths.stage(run, stage), known)
            for run, stage in shown
            if plan.runs[run].kind != "given"
        },
        **{name: named(REPORT_FORMS / name) for name in ("page.html", "style.css")},
        **_sides(plan, paths),
        "readings": named(READINGS_FILE),
    }
    return _step("report", plan, paths, paths.report, {}, inputs)


def _reported(network: Path, known: Mapping[Path, str]) -> Path:
    """What the report reads of a network: its folder, or its curves where it was imported without weights."""
    return network / "curves.csv" if network in known and not (network / WEIGHTS[0]).exists() else network


def _sides(plan: Plan, paths: Paths, *names: str) -> dict[str, Path]:
    """Tables of the side plans of these names, of all without any, that are there."""
    found = {side.name: paths.side_table(side.name) for side in plan.sides if not names or side.name in names}
    return {name: table for name, table in found.items() if table.exists()}


def _measured(plan: Plan, paths: Paths) -> dict[str, Path]:
    """What the tables and the claims both read: the scores of all splits, the rows, the paper's numbers."""
    drawn = dict.fromkeys((run, cell.stage) for cell in plan.cells if cell.draws for run in cell.runs)
    trained_on = dict.fromkeys(plan.runs[run].role for run, _ in drawn)
    return {
        **{f"scores/{role}-{split}": paths.score_set(role, split) for role, split in plan.score_sets},
        **{f"{run}/{stage}": _captions(paths, run, stage) for run, stage in drawn},
        **{f"vocabulary/{role}": paths.vocabulary(role) for role in trained_on},
        "rows": named(TABLES_FILE),
        **{f"published/{name}": named(PUBLISHED / f"table_{name}.csv") for name in plan.experiment.tables},
    }


def _inside(plan: Plan, paths: Paths) -> dict[str, Path]:
    """What networks do inside, which the claims and the report read."""
    return {f"inspection/{run}": paths.inspection(run, stage) for run, stage in inspected(plan)}


def side(of: SidePlan, paths: Paths) -> Step:
    """The scores of a side plan, and the table of what they are worth."""
    table, apart = paths.side_table(of.name), SidePaths.beside(paths, of.name)
    inputs, documents = _scored(of.plan, apart, "primary", "test")
    inputs[of.name] = named(of.file)
    settings = _asked(of.plan, of.plan.cells)
    return _step(of.name, of.plan, apart, table, settings, inputs, (*documents, table))


# ---- studies


def study_init(plan: Plan, paths: Paths, study: str, settings: Mapping[str, Any]) -> Step:
    """A study in its storage; ``settings`` are what its trials have in common, and how many are run in which way."""
    inputs = learnt_from(plan.experiment, paths, "primary")
    return _step("study-init", plan, paths, paths.study(study) / "study.json", settings, inputs, study=study)


def study_worker(plan: Plan, paths: Paths, study: str, worker: int) -> Step:
    """The trials that one worker of a study runs. They are in its storage, so there is no manifest of them."""
    target = paths.study_worker(study, worker)
    inputs = {"study": paths.study(study) / "study.json"}
    return _step("study-worker", plan, paths, target, {}, inputs, study=study, worker=str(worker))


def study_export(plan: Plan, paths: Paths, study: str, plots: Sequence[str]) -> Step:
    """The trials, the best setting and the plots of a study."""
    table, *_ = files = _in(paths.study_report(study), *TRIALS, *plots)
    inputs = {"study": paths.study(study) / "study.json"}
    return _step("study-export", plan, paths, table, {}, inputs, files, study=study)


def study_retrain(plan: Plan, paths: Paths, study: str, setting: str, seed: int) -> Step:
    """A network of a study's comparison; its weights and captions have manifests of their own, its name has none."""
    target, inputs = paths.compared(study, setting, seed), {"best": paths.study_report(study) / "best.yaml"}
    where = {"study": study, "setting": setting, "seed": str(seed)}
    return _step("study-retrain", plan, paths, target, {}, inputs, **where)


def study_compare(plan: Plan, paths: Paths, study: str, networks: Sequence[tuple[str, int]]) -> Step:
    """The comparison of a study's settings by their ``networks``, each a setting and a seed."""
    folder = paths.study_report(study)
    table, best = _in(folder, *TRIALS)
    inputs = {"trials": table, "best": best}
    inputs |= {f"{setting}-s{seed}": paths.compared(study, setting, seed) for setting, seed in networks}
    target, files = folder / "comparison.json", _in(folder, *COMPARISON)
    return _step("study-compare", plan, paths, target, {}, inputs, files, study=study)


# ---- all of it


class Chain:
    """Every step that an experiment can make, and ``others``, such as a study's."""

    def __init__(self, plan: Plan, paths: Paths, others: Iterable[Step] = ()) -> None:
        self.plan, self.paths, self.imported = plan, paths, imported(paths)
        self.steps = (*_steps(plan, paths), *others)
        self._makers = {path: step for step in self.steps for path in (step.target, *step.files)}
        self._jobs: dict[tuple[str, frozenset[tuple[str, str]]], list[Step]] = {}
        for step in self.steps:
            self._jobs.setdefault((step.name, frozenset(step.where.items())), []).append(step)

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

    def job(self, name: str, **where: str) -> list[Step]:
        """The steps of the job that the command ``name`` does for these wildcards; UserError where there is none."""
        found = self._jobs.get((name, frozenset(where.items())))
        if not found:
            wanted = KINDS[name].declares(self.plan, self.paths, **where)[0]
            known = {str(step.declared[0]): None for step in self.steps if step.name == name}
            near = difflib.get_close_matches(str(wanted), known, n=1, cutoff=0)
            hint = f"did you mean {near[0]}?" if near else "see what `snakemake --dry-run` plans"
            raise UserError(wanted, f"is nothing that experiment {self.plan.experiment.name} makes", hint)
        return found

    @functools.cached_property
    def _followers(self) -> dict[Path, int]:
        """The number of steps on the longest way that starts behind each step's target."""
        found = dict.fromkeys((step.target for step in self.steps), 0)
        for step in reversed(self.behind(*self.steps)):
            for maker in map(self.maker, step.inputs.values()):
                if maker is not None:
                    found[maker.target] = max(found[maker.target], found[step.target] + 1)
        return found

    def urgency(self, name: str, **where: str) -> int:
        """How many jobs come after a job, one after the other: of two that are ready, the more urgent goes first."""
        return max(self._followers[step.target] for step in self.job(name, **where))

    def stands(self, step: Step) -> bool:
        """Whether the output of a step was imported with what its rule declares, for the same settings and inputs."""
        if step.target not in self.imported or not all(path.exists() for path in step.declared):
            return False
        manifest = read_json(manifest_path(step.target))
        asked = json.loads(json.dumps(step.configuration))
        return manifest["configuration"] == asked and set(manifest["inputs"]) == set(step.inputs)

    def settings(self, name: str, **where: str) -> str:
        """Digest of the settings of a job."""
        return settings_digest({step.target.name: step.configuration for step in self.job(name, **where)})

    def waits_for(self, name: str, **where: str) -> list[Path]:
        """Files that a job reads: other steps' as these declare them, absent ones of the user left out.

        What is absent is told by the command that reads it. Nothing is awaited by what was imported.
        """
        found: dict[Path, None] = {}
        steps = (step for step in self.job(name, **where) if not self.stands(step))
        for path in (path for step in steps for path in step.inputs.values()):
            maker = self.maker(path)
            if maker is None:
                found |= {path: None} if path.exists() else {}
            elif maker.target in self.imported and path.is_file():
                continue  # asking for it would ask for what its step reads, too
            else:
                found |= dict.fromkeys([path] if path in maker.declared else maker.declared)
        return list(found)


def _steps(plan: Plan, paths: Paths) -> Iterator[Step]:
    experiment = plan.experiment
    for role, data in experiment.data.items():
        if data.source == "scenes":
            yield scenes(plan, paths, role)
        if pool_role(role) == role:  # the others have no train split
            yield vocabulary(plan, paths, role)
        yield features(plan, paths, role)
        yield index(plan, paths, role)
    if experiment.encoder is not None:
        yield encoder(plan, paths)
    if experiment.data["primary"].source == "scenes":
        yield probe(plan, paths)
    for run, stage in plan.trainings:
        yield training(plan, paths, run, stage)
        yield from captions(plan, paths, run, stage)
    for run in (run for run in plan.runs.values() if run.kind == "given"):
        yield from captions(plan, paths, run.id, GIVEN_STAGE)
    for run, stage in inspected(plan):
        yield inspection(plan, paths, run, stage)
    for role, split in plan.score_sets:
        yield score(plan, paths, role, split)
    yield tables(plan, paths)
    yield claims(plan, paths)
    yield report(plan, paths)
    for one in plan.sides:
        yield side(one, paths)
