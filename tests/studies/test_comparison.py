"""The comparison of a study's best setting with the paper's, from caption files of a few images."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from rdt.data.dataset import Caption, Dataset, Image
from rdt.data.vocabulary import Vocabulary
from rdt.experiment.plan import DRAWS
from rdt.metrics.corpus import Scorer
from rdt.metrics.diversity import distinct_n
from rdt.studies.comparison import compare_settings, compared_network
from rdt.studies.workspace import StudyWorkspace
from tests.support import studies, tiny

PAIRS, SEED = 5, 1
WORDS = ("a", "red", "blue", "ball", "cube")
REFERENCES = (Caption(("a", "red", "ball"), "a red ball"),) * 5
IMAGES = tuple(Image(number, "", "test", REFERENCES, None, number ^ 1) for number in range(2 * PAIRS))


@pytest.fixture
def workspace(tmp_path):
    """A study whose networks were not trained: their captions are written where they belong."""
    tiny.write(tmp_path, tiny.settings())
    experiment, _, paths = tiny.opened(tmp_path)
    study = studies.study(tmp_path, objectives=["CIDEr", "D@3"], retrain_seeds=[SEED])
    made = StudyWorkspace(study.budgeted(experiment), paths, study, "tiny.yaml")
    vocabulary = Vocabulary((".", *WORDS, "UNK"))
    vars(made)["inputs"] = SimpleNamespace(dataset=Dataset("tiny", IMAGES, tmp_path), vocabulary=vocabulary)
    best = {"name": "best", "base": str(tmp_path / "tiny.yaml"), "override": {"delta_tim": 0.2, "delta_sen": 0.4}}
    made.report.mkdir(parents=True)
    tiny.write(made.report, best, "best")
    return made


def write_captions_of(workspace, setting: str) -> list[list[str]]:
    """Random captions as the network of a setting would have drawn them; the draws, in the order of the images."""
    network = compared_network(workspace, setting, SEED)
    generator, drawn = np.random.default_rng(len(setting)), []
    for draw in (None, *range(DRAWS)):
        texts = [" ".join(generator.choice(WORDS, 6)) for _ in IMAGES]
        path = network.paths.captions(network.network.id, "xe", "primary", "test", draw)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"image_id": i.id, "caption": t} for i, t in zip(IMAGES, texts, strict=True)]))
        drawn += [] if draw is None else [texts]
    return drawn


def jackknife_error(values: np.ndarray) -> float:
    """Efron and Stein (1981): the root of (n - 1) / n times the summed squares about the mean."""
    return float(np.sqrt((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()))


def test_the_error_of_the_diversity_leaves_out_pairs_of_twins(workspace):
    drawn = {setting: write_captions_of(workspace, setting) for setting in ("best", "paper")}
    with Scorer() as scorer:
        found = compare_settings(workspace, scorer)
    without = {
        setting: np.array(
            [
                np.mean([distinct_n(draw[: 2 * pair] + draw[2 * pair + 2 :], 3) for draw in draws])
                for pair in range(PAIRS)
            ]
        )
        for setting, draws in drawn.items()
    }
    for setting, draws in drawn.items():
        estimate = found.scores[setting]["D@3"]
        assert estimate.value == pytest.approx(np.mean([distinct_n(draw, 3) for draw in draws]))
        assert estimate.image_error == pytest.approx(jackknife_error(without[setting]))
    difference = found.difference["D@3"]
    assert difference.value == pytest.approx(found.scores["best"]["D@3"].value - found.scores["paper"]["D@3"].value)
    assert difference.image_error == pytest.approx(jackknife_error(without["best"] - without["paper"]))
    assert {difference.images, found.difference["C"].images} == {PAIRS}
