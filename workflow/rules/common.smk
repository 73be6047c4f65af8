# What the rules share: the experiment and its plan, and functions that name files and settings.
import fcntl
import functools
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from rdt.provenance.steps import annotations as annotation_files
from rdt.experiment.file import check_data, load_experiment
from rdt.experiment.settings import pool_role
from rdt.report.estimate import cost_estimate
from rdt.experiment.differences import difference_plan, with_differences
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.runs import data_configuration, resolved_configuration, settings_digest
from rdt.provenance.code import code_digest
from rdt.studies.file import read_studies

ENVIRONMENT = "../../environment.yml"


def stop(error):
    """End with the error's one sentence, before anything runs."""
    print(f"rdt: error: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)


try:
    STUDIES = {study.name: study for study in read_studies(config.get("study"))}
    NAME = str(config.get("experiment") or next(iter(STUDIES.values())).experiment)
    EXPERIMENT = load_experiment(NAME, config.get("data_root"))
    PLAN = plan(EXPERIMENT, load_tables())
    # all that can be trained: with the differences, which only their own rule asks for
    NETWORKS = with_differences(PLAN)
    DIFFERENCES = difference_plan(EXPERIMENT)
except UserError as error:
    stop(error)

PATHS = Paths(EXPERIMENT.name)
ROOT = PATHS.root.as_posix()
TRACKING = f"{ROOT}/tracking.json"


# Held while jobs run. Unlike Snakemake's own lock, which the profile turns off, the system takes it back
# from a process that was killed: the same command then goes on, without --unlock.
CLAIM = []


def claim():
    """Stop if another snakemake is at work on this experiment in this folder."""
    path = PATHS.root / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    CLAIM.append(path.open("w"))
    try:
        fcntl.flock(CLAIM[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        problem = f"another snakemake is at work on experiment {EXPERIMENT.name} in this folder"
        stop(UserError(path, problem, "wait until it has ended, or stop it"))


onstart:
    # not in a job that Snakemake runs in a process of its own
    if workflow.exec_mode.name == "DEFAULT":
        claim()
        try:
            check_data(EXPERIMENT)
        except UserError as error:
            stop(error)


wildcard_constraints:
    role="primary|secondary|novel",
    stage="xe|xe2|rl|rl2",
    run="[^/]+",


def rdt(command, processes=1):
    """Shell command of a stage: the rule's name goes to the tracking database, all output to the log.

    Of several processes, which make one result together, torchrun tells each what the others are.
    """
    # Without --, torchrun's own parser stumbles over --run.
    together = f"torch.distributed.run --standalone --nproc_per_node={processes} -m -- "
    arguments = shlex.quote(NAME)
    if "data_root" in config:
        arguments += f" --data-root {shlex.quote(str(config['data_root']))}"
    rule_name, _, options = command.partition(" EXPERIMENT")
    return (
        f"RDT_RULE={rule_name.replace(' ', '_')} "
        f"python -m {together * (processes > 1)}rdt {rule_name} {arguments}{options} > {{log}} 2>&1"
    )


def gpus(processes=1):
    """GPUs of a job that computes on a GPU where there is one, for a scheduler and --resources gpu=N."""
    return 0 if EXPERIMENT.training.device == "cpu" else processes


def setting(*values):
    """A digest of settings, for a rule's params: a change of one reruns the rule."""
    return settings_digest({str(at): value for at, value in enumerate(values)})


def annotations(role):
    """The annotation files of a role; an absent one of a user's is told by the stage that reads it."""
    paths = annotation_files(EXPERIMENT, PATHS, role).values()
    made = EXPERIMENT.data[role].source == "scenes"
    return [path.as_posix() for path in paths if made or path.exists()]


def store(role):
    """The arrays of a role's feature store."""
    arrays = ("image_ids", "grid", "global", "caption_image", "caption_global")
    return [f"{ROOT}/features/{role}/{name}.npy" for name in arrays]


def encoder_threads():
    """Threads of the encoder; the import of published features needs one."""
    return EXPERIMENT.encoder.threads if EXPERIMENT.encoder else 1


def training_threads():
    """Threads of the processes that train a network, and of the workers that make their batches."""
    training = EXPERIMENT.training
    return training.processes * (training.threads + training.workers)


def weights(run, stage):
    """The weights and configuration of a trained network."""
    folder = PATHS.stage(run, stage).as_posix()
    return [
        f"{folder}/{name}"
        for name in ("model.safetensors", "raw.safetensors", "config.json")
    ]


def captions_done(job):
    """The manifest of the folder that a caption job fills: written last, it stands for its files."""
    return (
        PATHS.captions(job.run, job.stage, "", "")
        .with_name("manifest.json")
        .as_posix()
    )


# Inputs of the rules, by wildcards


def feature_inputs(wildcards):
    """The annotations and, unless published features are imported, the encoder."""
    if EXPERIMENT.data[wildcards.role].features:
        return annotations(wildcards.role)
    return [
        *annotations(wildcards.role),
        f"{ROOT}/encoder/model.safetensors",
        f"{ROOT}/vocabulary/primary.json",
    ]


def training_inputs(wildcards):
    """Data of the run's role, the earlier stages, and the captions that this stage reads."""
    role = NETWORKS.runs[wildcards.run].role
    earlier, captions = NETWORKS.inputs(wildcards.run, wildcards.stage)
    return [
        *annotations(role),
        *store(role),
        f"{ROOT}/vocabulary/{role}.json",
        f"{ROOT}/index/{role}/retrieved.npz",
        *[path for run, stage in earlier for path in weights(run, stage)],
        *[captions_done(job) for job in captions],
    ]


def caption_inputs(wildcards):
    """The network, the features of what it captions, and the first network's captions for a second one."""
    jobs = NETWORKS.captions_of(wildcards.run, wildcards.stage)
    roles = sorted({job.role for job in jobs})
    return [
        *weights(wildcards.run, wildcards.stage),
        f"{ROOT}/vocabulary/{NETWORKS.runs[wildcards.run].role}.json",
        *[path for role in roles for path in [*annotations(role), *store(role)]],
        *[f"{ROOT}/index/{role}/retrieved.npz" for role in roles],
        *sorted(
            {
                captions_done(first)
                for job in jobs
                for first in NETWORKS.caption_inputs(job)
            }
        ),
    ]


def score_inputs(wildcards):
    """The captions of every network that the tables score on this role."""
    jobs = [
        job
        for job in PLAN.captions
        if (job.role, job.split) == (wildcards.role, "test")
    ]
    return [
        *annotations(wildcards.role),
        *annotations(pool_role(wildcards.role)),
        f"{ROOT}/index/{wildcards.role}/retrieved.npz",
        *[
            f"{ROOT}/vocabulary/{role}.json"
            for role in sorted({PLAN.runs[job.run].role for job in jobs})
        ],
        *sorted({captions_done(job) for job in jobs}),
    ]


def difference_inputs():
    """The captions of every network of the differences, and what they are scored against."""
    jobs = [job for job in DIFFERENCES.captions if job.split == "test"]
    return [
        *annotations("primary"),
        f"{ROOT}/index/primary/retrieved.npz",
        f"{ROOT}/vocabulary/primary.json",
        *sorted({captions_done(job) for job in jobs}),
    ]


# Studies


def study_report(name):
    """The folder of what a study ends in."""
    return PATHS.study_report(name).as_posix()


def study_file(wildcards):
    """The study of a job, as its command names it."""
    return shlex.quote(STUDIES[wildcards.study].path)


def study_settings(name):
    """What the trials of a study have in common, and how many are run in which way."""
    study = STUDIES[name]
    budgeted = study.budgeted(EXPERIMENT)
    network = study.network(budgeted, study.paper(), study.seed)
    decisive = ("parameters", "objectives", "sampler", "pruner", "trials", "storage")
    return [
        resolved_configuration(budgeted, network),
        *[asdict(study)[key] for key in decisive],
    ]


def study_workers(wildcards):
    """As many as the study may have; those that there is no core for find it finished, and end at once."""
    folder = f"{ROOT}/studies/{wildcards.study}/workers"
    count = STUDIES[wildcards.study].workers
    return [f"{folder}/{worker}.json" for worker in range(count)]


def compared_networks(wildcards):
    """Both settings with each fresh seed."""
    folder = f"{ROOT}/studies/{wildcards.study}/compared"
    seeds = STUDIES[wildcards.study].retrain_seeds
    return [
        f"{folder}/{setting}-s{seed}.json"
        for setting in ("best", "paper")
        for seed in seeds
    ]


# What an experiment ends in


def all_scores():
    """What stands for the scores of all networks, by role."""
    scored = sorted(PLAN.score_sets)
    return [PATHS.baselines(role, split).as_posix() for role, split in scored]


def table_files(kind):
    """The tables in one format: .csv, .md or .tex, or their tests: _tests.csv."""
    return [
        f"{PATHS.tables.as_posix()}/table_{name}{kind}" for name in EXPERIMENT.tables
    ]


def server_archive():
    """What the online test server takes, if a table of the experiment asks for it."""
    return [f"{PATHS.tables.as_posix()}/server_RDT.zip"] if PLAN.server else []


def probe_files():
    """What the encoder's features tell; imported ones are not probed."""
    return (
        [f"{ROOT}/encoder/probe.json"]
        if EXPERIMENT.data["primary"].source == "scenes"
        else []
    )


@functools.cache
def tell_cost():
    """In a dry run, what the table of jobs does not say. The cost of the scenes was measured: it is in their files."""
    # Snakemake knows only after it has read all rules whether it is to run them.
    if workflow.dryrun and EXPERIMENT.data["primary"].source != "scenes":
        print(cost_estimate(PLAN, PATHS), flush=True)


def files_of_all():
    """All tables, the page about them, and the verdicts on the paper's claims."""
    tell_cost()
    tables = [path for kind in (".csv", ".md", ".tex") for path in table_files(kind)]
    pages = [PATHS.reports / "README.md", PATHS.claims]
    return [*tables, *[page.as_posix() for page in pages]]
