"""Rows of tables whose captions were made elsewhere: by an LLM, or by another repository."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdt.experiment.runs import Run, settings_digest
from rdt.experiment.settings import Experiment, GivenRow, Role, pool_role
from rdt.experiment.values import parse

GIVEN_STAGE = "xe"  # where the captions of a given run lie; none was trained


def rows_of_table(experiment: Experiment, name: str, table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of a table, below them those that the experiment adds from results files."""
    return [*table["rows"], *(dataclasses.asdict(row) for row in experiment.extra_rows.get(name, ()))]


def given_run(experiment: Experiment, row: Mapping[str, Any], role: Role, split: str, where: Path) -> Run | None:
    """The captions that a row gives for a split of a role, as a run; None where it gives none.

    A split without a role is the primary role's. ``where``: the file of the row, for errors.
    """
    given: GivenRow = parse(GivenRow, dict(row), where, f"row '{row['row']}'")
    found = {key if "/" in key else f"primary/{key}": path for key, path in given.captions.items()}
    if f"{role}/{split}" not in found:
        return None
    path = Path(experiment.data_root) / found[f"{role}/{split}"]
    settings = {"row": given.row, "role": role, "split": split, "results": path.as_posix(), "seed": given.seed}
    slug = re.sub(r"[^A-Za-z0-9._+]+", "_", given.row)[:60]
    name = f"given-{slug}-s{given.seed}-{settings_digest(settings)}"
    return Run(name, "given", experiment.method, pool_role(role), given.seed, 0, path.as_posix())
