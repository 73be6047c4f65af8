import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from rdt.config import check_data, load_experiment
from rdt.errors import UserError
from rdt.paths import Paths
from rdt.plan import digest, load_tables, plan, resolved_configuration
from rdt.provenance import code_digest, file_digest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
ENVIRONMENT = "../../environment.yml"


def stop(error):
    """End with the error's one sentence, before anything runs."""
    print(f"rdt: error: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)


try:
    NAME = str(config.get("experiment", "scenes"))
    EXPERIMENT = load_experiment(NAME, config.get("data_root"))
    PLAN = plan(EXPERIMENT, load_tables())
    if not workflow.dryrun:
        check_data(EXPERIMENT)
except UserError as error:
    stop(error)

PATHS = Paths(EXPERIMENT.name)
ROOT = PATHS.root.as_posix()
ROLES = list(EXPERIMENT.data)
TRAINED_ROLES = [role for role in ("primary", "secondary") if role in ROLES]
TABLES = list(EXPERIMENT.tables)
TRACKING = f"{ROOT}/tracking.json"


wildcard_constraints:
    role="primary|secondary|novel",
    stage="xe|xe2|rl|rl2",
    run="[^/]+",
    table="[IVX]+",


def rdt(command):
    """Shell command of a stage: the rule's name goes to the tracking database, all output to the log."""
    root = f" --data-root {config['data_root']}" if "data_root" in config else ""
    return f"RDT_RULE={{rule}} python -m rdt {command.replace('EXPERIMENT', NAME + root)} > {{log}} 2>&1"


def setting(*values):
    """A digest of settings, for a rule's params: a change of one reruns the rule."""
    return digest({str(at): value for at, value in enumerate(values)})


def data_settings(role):
    """Everything about a role's data set but its title."""
    return {key: value for key, value in asdict(EXPERIMENT.data[role]).items() if key != "title"}


def annotations(role):
    """The annotation file of a role; an absent one of a user's is told by the stage that reads it."""
    if EXPERIMENT.data[role].source == "scenes":
        return [f"{ROOT}/data/{role}/dataset.json"]
    path = Path(EXPERIMENT.data_root) / EXPERIMENT.data[role].annotations
    return [path.as_posix()] if path.exists() else []


def store(role):
    """The arrays of a role's feature store."""
    arrays = ("image_ids", "grid", "global", "caption_image", "caption_global")
    return [f"{ROOT}/features/{role}/{name}.npy" for name in arrays]


def weights(run, stage):
    """The weights and configuration of a trained network."""
    folder = PATHS.stage(run, stage).as_posix()
    return [f"{folder}/{name}" for name in ("model.safetensors", "raw.safetensors", "config.json")]


def caption_jobs(run, stage):
    """Everything that one trained network captions."""
    return [job for job in PLAN.captions if (job.run, job.trained_stage) == (run, stage)]


def rules_of_all():
    return [*rules_of_tables(), (PATHS.reports / "README.md").as_posix(), *probe_files()]


def rules_of_tables():
    return [f"{PATHS.tables.as_posix()}/table_{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")]


def probe_files():
    """What the encoder's features tell; there is nothing to say of imported ones."""
    return [] if EXPERIMENT.data["primary"].source != "scenes" else [f"{ROOT}/encoder/probe.json"]
