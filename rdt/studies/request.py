"""What ``snakemake --config`` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdt.experiment.values import unknown
from rdt.studies.file import Study, read_studies

CONFIG_KEYS = ("experiment", "data_root", "study")


def requested(config: Mapping[str, Any]) -> tuple[str, dict[str, Study]]:
    """Name of the experiment, and studies by name; UserError for a key that nothing reads.

    Without a name the experiment is that of the first study.
    """
    for key in config:
        if key not in CONFIG_KEYS:
            unknown(Path("--config"), "key", key, CONFIG_KEYS)
    studies = {study.name: study for study in read_studies(config.get("study"))}
    return str(config.get("experiment") or next(iter(studies.values())).experiment), studies
