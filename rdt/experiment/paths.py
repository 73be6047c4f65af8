"""Where everything generated lies: the one place that knows the layout of ``results/``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rdt.experiment.settings import Stage


@dataclass(frozen=True)
class Paths:
    """Paths of one experiment. ``split`` is train, val or test; ``variant`` a caption job's.

    ``apart`` is the folder of networks that no table has, with their captions and scores; data,
    features, vocabulary and index are the experiment's.
    """

    experiment: str
    results_root: Path = Path("results")
    reports_root: Path = Path("reports")
    apart: Path | None = None

    @property
    def root(self) -> Path:
        return self.results_root / self.experiment

    def scenes(self, role: str) -> Path:
        """Folder of a generated data set: ``dataset.json``, ``images/``, ``layout.npz``."""
        return self.root / "data" / role

    @property
    def encoder(self) -> Path:
        return self.root / "encoder"

    @property
    def probe(self) -> Path:
        """What the encoder's features tell."""
        return self.encoder / "probe.json"

    def features(self, role: str) -> Path:
        return self.root / "features" / role

    def vocabulary(self, role: str) -> Path:
        return self.root / "vocabulary" / f"{role}.json"

    def index(self, role: str) -> Path:
        return self.root / "index" / role

    def stage(self, run: str, stage: Stage) -> Path:
        """Folder of one training job: ``model.safetensors``, ``config.json``, ``curves.csv``, ``manifest.json``."""
        return self._own / "runs" / run / stage

    def captions(self, run: str, variant: str, role: str, split: str, draw: int | None = None) -> Path:
        """COCO results file; ``draw`` is the number of a caption made from a randomly drawn sentence."""
        suffix = "" if draw is None else f"-draw{draw}"
        return self._own / "captions" / run / variant / f"{role}-{split}{suffix}.json"

    def scores(self, run: str, variant: str, role: str, split: str) -> Path:
        """Scores of a caption file; per-image scores lie beside it as ``.parquet``."""
        return self._own / "scores" / run / variant / f"{role}-{split}.json"

    def inspection(self, run: str, stage: str) -> Path:
        """What a trained network does inside: quality scores by timestep, spread of attention by encoder."""
        return self._own / "inspection" / run / f"{stage}.json"

    def baselines(self, role: str, split: str) -> Path:
        """Scores of human captions, the retrieved sentence and the most frequent train caption."""
        return self.root / "scores" / "baselines" / f"{role}-{split}.json"

    def score_set(self, role: str, split: str) -> Path:
        """A name for all scores of one split, which one job writes: its manifest lies here."""
        return self.root / "scores" / f"{role}-{split}"

    def study(self, name: str) -> Path:
        """Folder of a study: its journal, its trials and the networks of its comparison."""
        return self.root / "studies" / name

    def study_worker(self, name: str, worker: int | str) -> Path:
        """Which trials of a study a worker has run."""
        return self.study(name) / "workers" / f"{worker}.json"

    def compared(self, name: str, setting: str, seed: int | str) -> Path:
        """Which network of a study's comparison has a setting and a seed."""
        return self.study(name) / "compared" / f"{setting}-s{seed}.json"

    def study_report(self, name: str) -> Path:
        """What a study ends in: ``trials.csv``, ``best.yaml``, plots, and the comparison on test."""
        return self.reports / "studies" / name

    def within(self, folder: Path) -> Paths:
        """The same experiment with its networks in ``folder``."""
        return replace(self, apart=folder)

    @property
    def _own(self) -> Path:
        return self.apart or self.root

    @property
    def cache(self) -> Path:
        """Answers of slow programs by the digest of what they were asked; may be deleted at any time."""
        return self.root / "cache"

    @property
    def reports(self) -> Path:
        return self.reports_root / self.experiment

    @property
    def tables(self) -> Path:
        return self.reports / "tables"

    @property
    def claims(self) -> Path:
        """The verdicts on the paper's claims, to read; ``claims.csv`` lies beside it."""
        return self.reports / "claims.md"

    @property
    def report(self) -> Path:
        """The page that shows everything, to open in a browser."""
        return self.reports / "report.html"

    def side_table(self, side: str) -> Path:
        """What a side plan measured, such as the worth of each difference to the released code, as CSV."""
        return self.reports / f"{side}.csv"

    @property
    def headline(self) -> Path:
        """What a finished workflow prints about its tables."""
        return self.root / "headline.txt"

    @property
    def verdicts(self) -> Path:
        """What a finished workflow prints about the claims."""
        return self.root / "verdicts.txt"

    @property
    def mlflow_uri(self) -> str:
        return f"sqlite:///{(self.root / 'mlflow.db').as_posix()}"
