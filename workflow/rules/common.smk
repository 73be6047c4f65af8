# What the rules share: the experiment, and what its chain of steps, rdt/provenance/steps.py, says of each job.
import os
import shlex
import sys
from itertools import chain

from filelock import Timeout

from rdt.errors import UserError
from rdt.experiment.file import check_data, load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.sides import with_sides
from rdt.files import file_lock
from rdt.provenance.code import code_digest
from rdt.provenance.steps import KINDS, Chain
from rdt.report.estimate import cost_estimate
from rdt.studies.request import requested
from rdt.studies.steps import study_steps


def stop(error):
    """End with the error's one sentence, before anything runs."""
    print(f"rdt: error: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)


try:
    NAME, STUDIES = requested(config)
    EXPERIMENT = load_experiment(NAME, config.get("data_root"))
    PATHS = Paths(EXPERIMENT.name)
    PLAN = plan(EXPERIMENT, TABLES := load_tables())
    NETWORKS = with_sides(PLAN, TABLES)  # all that can be trained
    studies = (study_steps(study, NETWORKS, PATHS) for study in STUDIES.values())
    CHAIN = Chain(NETWORKS, PATHS, chain.from_iterable(studies))
except UserError as error:
    stop(error)

ENVIRONMENT = "../../environment.yml"
ROOT = PATHS.root.as_posix()
TRACKING = f"{ROOT}/tracking.json"
TRAINING = EXPERIMENT.training
# threads of the encoder; the import of published features needs one
ENCODER_THREADS = EXPERIMENT.encoder.threads if EXPERIMENT.encoder else 1
# GPUs of a process that computes on a GPU where there is one, for a scheduler and --resources gpu=N
GPU = 0 if TRAINING.device == "cpu" else 1

# The experiment as the commands take it, in the text of a shell command: Snakemake formats what is in braces.
ROOT_OPTION = ["--data-root", str(config["data_root"])] if "data_root" in config else []
NAMED = shlex.join([NAME, *ROOT_OPTION]).replace("{", "{{").replace("}", "}}")
# Of several processes, which make one result together, torchrun tells each what the others are.
# Without --, its own parser stumbles over --run.
TORCHRUN = "torch.distributed.run --standalone --nproc_per_node={} -m -- "
TOGETHER = TORCHRUN.format(TRAINING.processes) * (TRAINING.processes > 1)

# Held while jobs run. Unlike Snakemake's own lock, which the profile turns off, the system takes it back
# from a process that was killed: the same command then goes on, without --unlock.
LOCKS = []


def claim():
    """Stop if another snakemake is at work on this experiment in this folder."""
    lock = file_lock(PATHS.root / ".lock")
    LOCKS.append(lock)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        problem = f"another snakemake is at work on experiment {EXPERIMENT.name} in this folder"
        remedy = "wait until it has ended, or stop it"
        stop(UserError(lock.lock_file, problem, remedy))


wildcard_constraints:
    role="primary|secondary|novel",
    stage="xe|xe2|rl|rl2",
    run="[^/]+",


def made(name, **where):
    """The files that a rule makes, by the values or the patterns of its wildcards."""
    return [path.as_posix() for path in KINDS[name].declares(NETWORKS, PATHS, **where)]


def of_chain(ask, name, where):
    """Function of a job's wildcards that asks the chain about it; there may be no such job in it."""

    def answer(wildcards):
        try:
            return ask(name, **where, **dict(wildcards.items()))
        except UserError as error:
            stop(error)

    return answer


def made_from(name, **where):
    """Input of a rule: what its step reads, as the rules that make it declare it."""
    return of_chain(CHAIN.waits_for, name, where)


def tracked(name, **where):
    """What MLflow needs before a job whose records it takes; nothing where the result was imported."""
    waits = made_from(name, **where)
    return lambda wildcards: [ancient(TRACKING)] if waits(wildcards) else []


def settings_of(name, **where):
    """Parameter of a rule: a change of the settings of its step reruns it."""
    return of_chain(CHAIN.settings, name, where)


def made_with(name, **where):
    """Parameter of a rule: a change of the settings of its step, or of the code behind it, reruns it."""
    settings, code = settings_of(name, **where), code_digest(KINDS[name].code)
    return lambda wildcards: f"settings {settings(wildcards)}, code {code}"
