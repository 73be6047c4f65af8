"""The page: every part of the report, read from an experiment's results, and put into its template ``page.html``."""

from __future__ import annotations

import base64
import io
from collections import Counter
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from PIL import Image as Picture

from rdt.claims.claim import VERDICTS, Judgement, read_claims
from rdt.claims.inside import inspections
from rdt.claims.judge import judge
from rdt.claims.page import conditions, data_title, our_effect, papers_effect, signed
from rdt.claims.write import control_measurements
from rdt.data.dataset import Image
from rdt.experiment.plan import load_tables, phase_title, plan
from rdt.experiment.readings import Reading, read_readings
from rdt.experiment.settings import Experiment
from rdt.provenance.steps import ARRAYS, WEIGHTS
from rdt.report import captions, claims, cost, runs
from rdt.report.ablations import TITLES, Sweep, sweeps
from rdt.report.citation import citations
from rdt.report.claims import css_class
from rdt.report.controls import ControlRow, control_rows, epochs_said
from rdt.report.curves import Panel, panels
from rdt.report.denoising import Denoising, denoise
from rdt.report.differences import DifferenceRow, difference_rows, own_settings
from rdt.report.figures import bits_figure, curves_figure, sweep_figure
from rdt.report.gallery import Cast, Gallery, cast
from rdt.report.heatmaps import Map, heatmaps, page_size
from rdt.report.tables import shown_blocks
from rdt.scoring.measurements import Measurements
from rdt.tables.blocks import why_empty_cells
from rdt.tables.build import build_tables
from rdt.tables.notes import budget_note
from rdt.tables.page import headline
from rdt.tables.table import Table
from rdt.tables.write import human_cider, read_baselines
from rdt.templates import filled
from rdt.workspace import Workspace

FOLDER = Path(__file__).parent
CONTENTS = {
    "short": "In short",
    "claims": "Claims",
    "tables": "Tables",
    "ablations": "Ablations",
    "controls": "Which part does the work?",
    "captions": "Captions",
    "twins": "Twins",
    "heatmaps": "Heatmaps",
    "denoising": "Denoising",
    "curves": "Training curves",
    "readings": "Readings",
    "differences": "Differences",
    "cost": "Cost",
    "runs": "Runs",
    "cite": "How to cite",
}
OF_WEIGHTS = ("heatmaps", "denoising")  # absent where the weights were left out of what was imported
OF_CAST = ("captions", "twins", *OF_WEIGHTS)  # absent where no table has base and RDT
HEATMAPS = 4  # images
GRIDS = ("VI", "VIII")
MINUTE, HOUR = 60, 3600


class Report:
    """What the page shows of an experiment; every part is made when the page asks for it."""

    def __init__(self, workspace: Workspace) -> None:
        self._stage, self._paths = workspace, workspace.paths
        self.experiment: Experiment = workspace.experiment
        self._plan = plan(workspace.experiment, load_tables())  # without the networks of the differences
        self._measurements = Measurements.of(self._plan, workspace.paths)
        self._gallery = Gallery(workspace)
        self.photo = cache(self._photo)

    # ---- in short

    @property
    def title(self) -> str:
        return data_title(self.experiment, "primary")

    @property
    def style(self) -> str:
        return (FOLDER / "style.css").read_text(encoding="utf-8")

    @property
    def conditions(self) -> str:
        return conditions(self.experiment)

    @property
    def contents(self) -> list[tuple[str, str]]:
        absent = {*(() if self.cast else OF_CAST), *(() if self.controls_known else ("controls",))}
        absent |= set() if self.weights_here else {*OF_WEIGHTS}
        return [(name, title) for name, title in CONTENTS.items() if name not in absent]

    @cached_property
    def headline(self) -> list[str]:
        return headline(self._plan, self.tables, self._measurements.score, self._baselines.get("primary"))

    @cached_property
    def _judgements(self) -> list[Judgement]:
        controls = control_measurements(self._stage.plan, self._paths)
        return judge(read_claims(), self._measurements, inspections(self._paths), controls)

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        found = Counter(judgement.verdict for judgement in self._judgements)
        return [(verdict, found[verdict]) for verdict in VERDICTS if found[verdict]]

    @property
    def claims(self) -> list[claims.ClaimRow]:
        return claims.claim_rows(self._judgements, self.experiment)

    @property
    def claims_page(self) -> str:
        return self._paths.claims.name

    # ---- tables and their curves

    @cached_property
    def tables(self) -> list[Table]:
        return build_tables(self._plan, load_tables(), self._measurements, human_cider(self._baselines))

    @cached_property
    def _baselines(self) -> dict[str, Any]:
        return read_baselines(self._paths, ["primary"])

    def links(self, value: Any) -> list[runs.Link]:
        return runs.links(self._paths, value)

    @cached_property
    def sweeps(self) -> list[tuple[Sweep, str]]:
        definitions = load_tables()
        found = [
            sweep for table in self.tables if table.name in GRIDS for sweep in sweeps(table, definitions[table.name])
        ]
        return [
            (sweep, sweep_figure(sweep.points, TITLES[sweep.key], "difference in CIDEr", f"sweep-{sweep.key}"))
            for sweep in found
            if any(point.ours is not None for point in sweep.points)
        ]

    @property
    def grid_note(self) -> str:
        return " ".join(budget_note(self.experiment, grid=True))

    @property
    def several_seeds(self) -> bool:
        return len(self.experiment.seeds.xe) > 1

    def sweep_alt(self, sweep: Sweep) -> str:
        return f"Curve of Table {sweep.table}: CIDEr over {TITLES[sweep.key]}, the paper's and ours"

    def sweep_caption(self, sweep: Sweep) -> str:
        """Highest point of either curve, and how many intervals hold 0."""
        bounded = sum(point.low is not None for point in sweep.points)
        best = f"Highest: {sweep.best.label} here, {sweep.paper_best.label} in the paper."
        interval = f"{sweep.undecided} of {bounded} intervals hold 0." if bounded else ""
        return f"Table {sweep.table}, {TITLES[sweep.key]}, with {sweep.fixed}. {best} {interval}"

    # ---- what the networks say

    @cached_property
    def cast(self) -> Cast | None:
        return cast(self._plan)

    @property
    def weights_here(self) -> bool:
        """Whether the cast can caption here; a report of imported captions and scores does without."""
        wanted = [self._paths.stage(*network.id) for network in self.cast.networks] if self.cast else []
        wanted = [folder / WEIGHTS[0] for folder in wanted] + [self._paths.features("primary") / ARRAYS[0]]
        return self.cast is not None and all(path.exists() for path in wanted)

    @property
    def cast_text(self) -> str:
        where = f"after {phase_title(self.cast.rdt.id.stage)}, rows of Table {self.cast.table}, first seed"
        return f"{', '.join(network.name for network in self.cast.networks)}: {where}."

    @property
    def test_images(self) -> int:
        return len(self._gallery.images)

    @cached_property
    def _chosen(self) -> tuple[Image, ...]:
        return captions.shown_images(self._gallery, self.cast.rdt)

    @property
    def examples(self) -> list[captions.Example]:
        networks = self.cast.networks
        return [captions.example(self._gallery, networks, image, self.cast.rdt) for image in self._chosen]

    @property
    def novelty(self) -> tuple[captions.Novelty, ...]:
        return captions.novelty(self._gallery, self.cast.networks)

    @cached_property
    def twins(self) -> tuple[captions.TwinOutcome, ...]:
        return captions.twin_outcomes(self._gallery, self.cast)

    @property
    def twin_pairs(self) -> int:
        return sum(outcome.count for outcome in self.twins)

    def _photo(self, image: Image) -> Picture.Image | None:
        found = self._gallery.photo(image)
        return found and page_size(found)

    @property
    def heatmaps(self) -> list[tuple[captions.Example, tuple[Map, ...]]]:
        networks, images = (self.cast.base, self.cast.rdt), self._chosen[:HEATMAPS]
        examples = [captions.example(self._gallery, networks, image) for image in images]
        return list(zip(examples, heatmaps(self._gallery, networks, images), strict=True))

    @property
    def encoders(self) -> str:
        layers = self.experiment.model.visual_layers
        return f"{layers} stacked encoder{'s' * (layers > 1)} (the paper has 3)"

    @cached_property
    def denoising(self) -> Denoising:
        return denoise(self._gallery, self.cast.rdt, self._chosen[len(self._chosen) // 2])

    @property
    def denoising_figure(self) -> str:
        chain = self.denoising
        words = chain.caption.split()
        last = min(len(words) + 1, len(chain.certainty[0]))
        return bits_figure([step[:last] for step in chain.certainty], [*words, "(end)"][:last], "denoising")

    # ---- controls

    @property
    def controls_known(self) -> bool:
        return self._paths.side_table("controls").is_file()

    @property
    def controls(self) -> dict[str, list[ControlRow]]:
        return control_rows(self._stage.plan.side("controls"), self._paths)

    @property
    def epochs_said(self) -> str:
        return epochs_said(self._stage.plan.side("controls"))

    # ---- the paper as it is read, and the released code

    @property
    def readings(self) -> list[Reading]:
        return read_readings()

    def setting(self, reading: Reading) -> str:
        """The switch of a reading with the experiment's value; empty where there is none."""
        method = vars(self.experiment.method)
        return f"{reading.switch}: {str(method[reading.switch]).lower()}" if reading.switch else ""

    @property
    def config(self) -> str:
        """Option that the command line needs for an experiment that is not the default one."""
        return "" if self.experiment.name == "scenes" else f" --config experiment={self.experiment.name}"

    @property
    def differences_known(self) -> bool:
        return self._paths.side_table("differences").is_file()

    @property
    def differences(self) -> list[DifferenceRow]:
        return difference_rows(self._stage.plan.side("differences"), self._paths)

    @property
    def own_settings(self) -> str:
        return own_settings(self.experiment)

    # ---- training and cost

    @cached_property
    def curves(self) -> list[tuple[str, list[tuple[Panel, str]]]]:
        found = panels(self._plan, self._paths)
        return [
            (
                _stage_title(stage),
                [(panel, curves_figure(panel.lines, panel.title, _panel_name(panel))) for panel in same],
            )
            for stage, same in groupby(found, key=lambda panel: panel.stage)
        ]

    def curve_ends(self, panel: Panel) -> str:
        """Last value of each line, in words."""
        return ", ".join(f"{line.name} ends at {line.y[-1]:.3g}" for line in panel.lines) + "."

    @property
    def jobs(self) -> list[cost.Jobs]:
        return cost.jobs(self._plan, self._paths)

    @property
    def machine(self) -> str:
        return cost.machine(self._plan, self._paths)

    @property
    def work(self) -> list[cost.Work]:
        return [cost.work(self._gallery, network) for network in self.cast.networks] if self.weights_here else []

    @property
    def runs(self) -> list[runs.TrainedRun]:
        return runs.trained_runs(self._stage.plan, self._paths)

    @property
    def citations(self) -> list[tuple[str, str]]:
        return citations()


def _stage_title(stage: str) -> str:
    title = phase_title(stage)
    return f"{title[0].upper()}{title[1:]}" + (", second network" if stage.endswith("2") else "")


def _panel_name(panel: Panel) -> str:
    return f"curve-{panel.stage}-{panel.column}"


def report_page(workspace: Workspace) -> str:
    """HTML of the whole page of an experiment whose tables and claims are there."""
    functions = (css_class, data_uri, duration, our_effect, papers_effect, scientific)
    functions += (shown_blocks, signed, ticks, why_empty_cells)
    shown = {function.__name__: function for function in functions}
    return filled("report/page.html", report=Report(workspace), **shown)


def data_uri(picture: Picture.Image) -> str:
    """URI that holds a picture itself, as WebP."""
    content = io.BytesIO()
    picture.save(content, format="WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def duration(seconds: float | None) -> str:
    """Seconds as a reader counts them; a dash where they are not known."""
    if seconds is None:
        return "–"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {seconds % MINUTE:.0f} s"
    return f"{seconds / HOUR:.1f} h"


def scientific(number: float | None) -> str:
    """A count as 1.23e9; a dash where it is not known."""
    return "–" if number is None else f"{number:.2e}".replace("e+0", "e").replace("e+", "e")


def ticks(text: str) -> Markup:
    """HTML of a sentence, with what stands between backticks as code."""
    parts = escape(text).split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))
