"""Copies of the repository that a test may edit and run."""

from __future__ import annotations

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
REPORTS = ("reports/published", "reports/claims.yaml", "reports/attention_cost.json")
NEEDED = ("Snakefile", "environment.yml", "experiments", "profiles", "rdt", *REPORTS, "workflow")


def copy_repository(folder: Path) -> Path:
    """What a workflow needs of the repository, to be edited at will."""
    for name in NEEDED:
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return folder
