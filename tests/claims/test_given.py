"""Claims about captions that were made elsewhere: comparable with networks, however these were trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rdt.claims.judge import obstacle
from rdt.experiment.file import load_experiment
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.settings import GivenRow
from rdt.scoring.measurements import Measurements

DOCUMENT = {"not_run": {}, "scopes": {"c5": {"n": 4, "metrics": {"C": 50.0}}}}


@pytest.mark.parametrize(("seed", "problem"), [(0, ""), (5, "the two sides have no seed in common")])
def test_a_given_row_stands_against_networks_of_its_seed(seed, problem):
    """The smoke experiment's RDT is two networks in cascade of one epoch each; the given row is neither."""
    rows = {"II": (GivenRow("LLM", {"test": "llm.json"}, seed=seed),)}
    planned = plan(replace(load_experiment("smoke"), tables=("II",), extra_rows=rows), load_tables())
    measurements = Measurements(planned, lambda *of: DOCUMENT, None)
    cells = {cell.row: cell for cell in planned.cells if cell.column == "rl/C"}
    assert cells["RDT◇"].stage == "rl2"
    assert obstacle(cells["RDT◇"], cells["LLM"], measurements) == problem
    assert obstacle(cells["LLM"], cells["RDT◇"], measurements) == problem
