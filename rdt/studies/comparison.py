"""The best setting of a study beside the paper's: trained with fresh seeds, and tested once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rdt.captioning.files import load_network, write_captions
from rdt.experiment.runs import NetworkId
from rdt.files import read_json
from rdt.metrics import resampling, statistics
from rdt.metrics.corpus import Scorer
from rdt.metrics.resampling import Estimate
from rdt.model.device import open_device
from rdt.provenance import steps
from rdt.scoring.files import read_columns
from rdt.scoring.per_image import PerImage
from rdt.scoring.references import Targets
from rdt.scoring.systems import System, score_systems
from rdt.studies.export import read_best
from rdt.studies.file import SETTINGS, Setting
from rdt.studies.network import STAGE, StudyNetwork
from rdt.studies.workspace import StudyWorkspace
from rdt.training.network import Training, train

DIST = "D@3"
ROLE, SPLIT = "primary", "test"


@dataclass(frozen=True)
class SettingComparison:
    """Both settings on test: the values of the parameters, the scores by metric, and best minus paper."""

    settings: Mapping[Setting, Mapping[str, float]]
    scores: Mapping[Setting, Mapping[str, Estimate]]
    difference: Mapping[str, Estimate]
    spice: str  # which SPICE it is

    def document(self) -> dict[str, Any]:
        """Document to be written as JSON."""
        scores = {name: {key: asdict(value) for key, value in part.items()} for name, part in self.scores.items()}
        return {
            "settings": {name: dict(values) for name, values in self.settings.items()},
            "spice": self.spice,
            "scores": scores,
            "difference": {key: asdict(value) for key, value in self.difference.items()},
        }


def settings(workspace: StudyWorkspace) -> dict[Setting, Mapping[str, float]]:
    """The values of the parameters in both settings."""
    return {"best": read_best(workspace), "paper": workspace.study.paper()}


def compared_network(workspace: StudyWorkspace, setting: Setting, seed: int) -> StudyNetwork:
    """The network of a setting and a fresh seed, on the trials' budget; it captions test."""
    return workspace.network(
        settings(workspace)[setting], seed, f"{setting}, seed {seed}", f"compared/{setting}", captions=SPLIT
    )


def retrain(workspace: StudyWorkspace, setting: Setting, seed: int) -> StudyNetwork:
    """Train a network of the comparison, and caption test with it."""
    alone = compared_network(workspace, setting, seed)
    network, (job,) = alone.network, alone.jobs
    train(Training(alone, network, STAGE, workspace.inputs))
    with alone.make(*steps.captions(alone.plan, alone.paths, network.id, STAGE)):
        device = open_device(workspace.experiment.training, workspace.experiment.path)
        model = load_network(alone, workspace.inputs, NetworkId(network.id, STAGE)).to(device)
        write_captions(alone, job, workspace.inputs, model)
    return alone


def compare_settings(workspace: StudyWorkspace, scorer: Scorer) -> SettingComparison:
    """Score the captions of all networks of the comparison, with ``paths.scores`` of each, and compare them."""
    targets = Targets(ROLE, SPLIT, workspace.inputs.dataset.split(SPLIT))
    scope = "c5" if targets.references("c5") else "all"
    networks = {
        setting: [compared_network(workspace, setting, seed) for seed in workspace.study.retrain_seeds]
        for setting in SETTINGS
    }
    vocabulary = {ROLE: workspace.inputs.vocabulary}
    for several in networks.values():
        systems = [_system(one, scope) for one in several]
        score_systems(several[0].paths, targets, systems, vocabulary, scorer)
    lexical = {setting: [_statistics(one, scope) for one in several] for setting, several in networks.items()}
    scores = {setting: resampling.interval(seeds) for setting, seeds in lexical.items()}
    difference = resampling.paired_difference(lexical["best"], lexical["paper"])
    if DIST in workspace.study.objectives:
        varied = {setting: [_variety(one) for one in several] for setting, several in networks.items()}
        for setting, seeds in varied.items():
            scores[setting][DIST] = _estimate(seeds)
        pairs = zip(varied["best"], varied["paper"], strict=True)
        difference[DIST] = _estimate([(a[0] - b[0], a[1] - b[1]) for a, b in pairs])
    return SettingComparison(settings(workspace), scores, difference, scorer.spice or "")


def _system(one: StudyNetwork, scope: str) -> System:
    return System(one.network.id, STAGE, one.network.seed, ROLE, (scope,), one.jobs[0].draws)


def _statistics(one: StudyNetwork, scope: str) -> statistics.Statistics:
    path = one.paths.scores(one.network.id, STAGE, ROLE, SPLIT)
    return statistics.from_frame(read_columns(path), scope)


def _variety(one: StudyNetwork) -> tuple[float, np.ndarray]:
    """Dist-3 of a network as in Tables V and VII, and its jackknife replicates (n,) over units of images."""
    network = NetworkId(one.network.id, STAGE)
    document = read_json(one.paths.scores(*network, ROLE, SPLIT))
    return document["diversity"]["mean"][DIST], PerImage.of(one.plan, one.paths).jackknifed(network, ROLE, SPLIT, DIST)


def _estimate(seeds: Sequence[tuple[float, np.ndarray]]) -> Estimate:
    values, replicates = zip(*seeds, strict=True)
    return resampling.estimate(values, replicates, len(replicates[0]))
