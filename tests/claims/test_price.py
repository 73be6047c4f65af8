"""What a verdict costs: seeds that are added, networks that are missing, and the time of their like."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rdt.claims.claim import CellComparison, GreaterClaim, Judgement
from rdt.claims.power import Needed
from rdt.claims.price import more_seeds, prices
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.settings import Seeds
from rdt.provenance.manifest import manifest_path
from rdt.scoring.measurements import difference
from tests.claims.test_claims import greater
from tests.experiment.test_plan import experiment
from tests.scoring.test_measurements import cell_of

SECONDS = {"captioner": 360.0, "teacher": 36.0}


def test_seeds_are_added_from_the_first_that_an_experiment_has_not():
    found = more_seeds(Seeds((3, 1), (0, 1, 2, 3), (5,)), 4)
    assert (found.xe, found.rl, found.grid) == ((3, 1, 0, 2), (0, 1, 2, 3), (5, 0, 1, 2))
    assert more_seeds(Seeds((0,), (0,)), 2) == Seeds((0, 1), (0, 1))  # a grid without its own has cross-entropy's


@pytest.fixture
def trained(tmp_path):
    """Table V's four rows with one seed, all of it trained in 360 seconds a network and 36 a teacher."""
    usual = experiment(tables=("V",), seeds=Seeds((0,), (0,)))
    made, paths = plan(usual, load_tables()), Paths("made", tmp_path)
    for run, stage in made.trainings:
        paths.stage(run, stage).mkdir(parents=True)
        manifest_path(paths.stage(run, stage)).write_text(json.dumps({"wall_seconds": SECONDS[made.runs[run].kind]}))
    return usual, made, paths


def undecided(made, better: str, than: str, seeds: int, images: int = 100) -> Judgement:
    cells = [cell_of(made, "V", row, "C") for row in (better, than)]
    comparison = CellComparison(*cells, 2.0, 100.0, difference([1.0], 1.0, 100, None, 0), 50.0)
    claim: GreaterClaim = replace(greater(better, than), id=f"{better} over {than}")
    return Judgement(claim, "undecided", (comparison,), needed=Needed(seeds, images))


def test_networks_that_two_claims_share_are_paid_once_and_the_cheapest_is_first(trained):
    """A seed more takes its teacher and two rows, two stages each; of the second claim all but the first's six."""
    usual, made, paths = trained
    both = [undecided(made, "base + RL", "base", 3), undecided(made, "base + RVE", "base", 2)]
    first, second = prices(both, made, load_tables(), paths)
    threads = usual.training.threads
    assert [one.judgement.claim.id for one in (first, second)] == ["base + RVE over base", "base + RL over base"]
    assert len(first.networks) == 2 + 2 * 2 and len(second.networks) == 2 * (2 + 2 * 2)
    assert first.core_hours == first.after == pytest.approx(threads * (2 * 36 + 4 * 360) / 3600)
    assert second.core_hours == pytest.approx(2 * first.core_hours)
    assert second.after == pytest.approx(threads * (2 * 36 + (2 * 4 - 2) * 360) / 3600)


def test_what_seeds_do_not_decide_has_no_price_and_unknown_times_are_told(trained, tmp_path):
    _, made, _ = trained
    asked = undecided(made, "base + RVE", "base", 2)
    others = [
        replace(asked, verdict="reproduced"),
        replace(asked, needed=None),
        undecided(made, "base + RVE", "base", 2, images=101),
    ]
    assert prices(others, made, load_tables(), Paths("made", tmp_path)) == []
    (nothing,) = prices([asked], made, load_tables(), Paths("nothing", tmp_path))
    assert nothing.core_hours is None and len(nothing.networks) == 2 * (2 + 2 * 2)
