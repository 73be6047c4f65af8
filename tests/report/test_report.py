"""The report: its parts by hand, the whole page on a finished experiment, and what a real browser makes of it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from rdt.data.dataset import Caption, Image
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Cell, load_tables, plan
from rdt.experiment.runs import NetworkId
from rdt.metrics.resampling import Estimate
from rdt.report.ablations import sweeps
from rdt.report.captions import Phrase, mark, novelty, shown_images
from rdt.report.citation import bibtex, citations
from rdt.report.claims import glyph
from rdt.report.cost import counted, jobs
from rdt.report.figures import PlottedLine, Point, bits_figure, curves_figure, sweep_figure
from rdt.report.gallery import CIDER, ShownNetwork, cast
from rdt.report.page import data_uri, duration, scientific, ticks
from rdt.report.runs import links
from rdt.report.tables import shown_blocks
from rdt.scoring.measurements import Difference
from rdt.tables.blocks import blocks, why_empty_cells
from rdt.tables.table import RowComparison, Table, Value
from tests.support import browser, tiny
from tests.support.finished import FILE, python

NETWORK = ShownNetwork("RDT", NetworkId("run", "xe"))
WIDTHS, SCHEMES = (400, 1400), ("light", "dark")


# ---- captions


def test_new_words_are_marked_by_whether_a_reference_has_them():
    found = mark("a red cube on some grass", ["a cube"], ["Red cube, on a table."])
    assert found == (
        Phrase("a"),
        Phrase("red", "supported"),
        Phrase("cube"),
        Phrase("on", "supported"),
        Phrase("some grass", "alone"),
    )
    assert mark("", ["a"], ["b"]) == ()


def gallery(scores: list[float], captions: dict[ShownNetwork, list[str]] | None = None, references: str = "") -> object:
    images = tuple(Image(at, "", "test", (Caption((), references),)) for at in range(len(scores)))
    frame = pd.DataFrame({CIDER: scores}, index=[str(image.id) for image in images])
    said = {network: dict(enumerate(texts)) for network, texts in (captions or {}).items()}
    return SimpleNamespace(images=images, scores=lambda network: frame, captions=lambda network: said[network])


def test_the_shown_images_stand_at_even_distances_from_good_to_bad():
    """Ten images in two halves: the middles are at ranks 2.5 and 7.5."""
    found = shown_images(gallery([10.0 * at for at in range(10)]), NETWORK, count=2)
    assert [image.id for image in found] == [7, 2]
    assert [image.id for image in shown_images(gallery([5.0, 9.0]), NETWORK, count=6)] == [1, 0]


def test_new_words_are_counted_over_all_images():
    """RDT has 'big red' and 'blue' alone: 3 words in 2 captions, of which 'red' and 'blue' are in the reference."""
    other = ShownNetwork("Base", NetworkId("base", "xe"))
    shown = gallery([0, 0], {NETWORK: ["a big red cube", "a blue cube"], other: ["a cube", "a cube cube"]}, "red blue")
    rdt, base = novelty(shown, (NETWORK, other))
    assert (rdt.words, rdt.supported) == (1.5, pytest.approx(200 / 3))
    assert (base.words, base.supported) == (0.0, None)


def test_the_cast_is_trained_alike_and_of_one_table():
    planned = plan(load_experiment("scenes"), load_tables())
    found = cast(planned)
    assert found.table == "II" and [network.id.stage for network in found.networks] == ["rl", "rl", "rl"]
    base, rdt = planned.runs[found.base.id.run].method, planned.runs[found.rdt.id.run].method
    assert (base.lambda_f, base.lambda_e, base.lambda_rank) == (1, 0, 0) and rdt == planned.experiment.method
    assert planned.runs[found.teacher.id.run].kind == "teacher"


def test_a_grid_alone_has_no_cast():
    experiment = load_experiment("smoke")
    assert cast(plan(replace(experiment, tables=("VIII",)), load_tables())) is None


# ---- tables and curves


def value(row: str, column: str, paper: str, ours: float | None, difference: Difference | None = None) -> Value:
    part, _, metric = column.rpartition("/")
    cell = Cell("VI", "", row, column, metric, True, ("r",), "xe", "primary", "test", "c5", part, 0, "")
    estimate = None if ours is None else Estimate(ours, ours - 1, ours + 1, None, 0.5, None, 1, 500)
    against = None if difference is None else RowComparison("ref", difference, 0.5)
    return Value(cell, paper, "measured" if ours is not None else "not run: x", "r/xe", estimate, against)


def difference(number: float) -> Difference:
    return Difference(number, number - 2, number + 2, None, 1.0, None, 0, 1, 500, 500)


def test_sweeps_are_the_rows_that_differ_in_one_setting():
    """a runs over 1, 2, 3 with b = 0, b over 0, 5, 6 with a = 2; the reference is the row (2, 5)."""
    settings = [(1, 0), (2, 0), (3, 0), (2, 5), (2, 6)]
    rows = [{"row": f"{a},{b}", "run": {"lambda_f": a, "lambda_e": b}} for a, b in settings]
    values = [
        value("1,0", "C", "10", 50.0, difference(-4.0)),
        value("2,0", "C", "11", 51.0, difference(-3.0)),
        value("3,0", "C", "", None),
        value("2,5", "C", "13", 54.0),
        value("2,6", "C", "12", 55.0, difference(1.0)),
    ]
    table = Table("VI", "", (), (("", ("C",)),), tuple(values))
    first, second = sweeps(table, {"rows": rows, "reference": "2,5"})
    assert (first.key, second.key) == ("lambda_f", "lambda_e")
    assert first.points == (
        Point("1", -3.0, -4.0, -6.0, -2.0, False),
        Point("2", -2.0, -3.0, -5.0, -1.0, False),
        Point("3", None, None, None, None, False),
    )
    assert [(point.label, point.ours, point.is_reference) for point in second.points] == [
        ("0", -3.0, False),
        ("5", 0.0, True),
        ("6", 1.0, False),
    ]
    assert second.best.label == "6" and second.paper_best.label == "5"
    assert (first.undecided, second.undecided) == (0, 1)


def test_the_papers_grids_have_two_sweeps_each():
    """VI: six shares of keys without reuse, seven of reuse at 0.75; VIII: five and six thresholds."""
    planned, definitions = plan(load_experiment("scenes"), load_tables()), load_tables()
    lengths = {}
    for name in ("VI", "VIII"):
        values = tuple(Value(cell, "1", "not run: x") for cell in planned.cells if cell.table == name)
        table = Table(name, "", (), (), values)
        lengths[name] = [len(sweep.points) for sweep in sweeps(table, definitions[name])]
    assert lengths == {"VI": [6, 7], "VIII": [5, 6]}


def test_a_wide_table_is_cut_at_its_parts_and_a_narrow_one_is_not():
    columns = [f"{part}/{name}" for part in "ab" for name in "12345"]
    values = tuple(value("row", column, "1", 2.0) for column in columns)
    wide = Table("II", "", (), (("A", tuple(columns[:5])), ("B", tuple(columns[5:]))), values)
    assert [(block.title, len(block.columns)) for block in blocks(wide)] == [("A", 5), ("B", 5)]
    narrow = Table("II", "", (), (("A", tuple(columns[:2])), ("B", tuple(columns[5:7]))), values)
    assert [block.columns for block in blocks(narrow)] == [("A 1", "A 2", "B 1", "B 2")]
    assert why_empty_cells(wide.values) == [] and why_empty_cells([value("r", "C", "", None)]) == ["not run: x"]


def test_a_row_with_nothing_in_a_block_is_not_shown_there():
    """A quoted row that the paper has no number of is empty."""
    empty = replace(value("quoted", "C", "", None), status="")
    table = Table("II", "", (), (("", ("C",)),), (empty, value("row", "C", "1", 2.0)))
    assert [[row for _, row, _, _ in block.rows] for block in blocks(table)] == [["quoted", "row"]]
    assert [[row for _, row, _, _ in block.rows] for block in shown_blocks(table)] == [["row"]]


def test_a_cell_of_several_seeds_leads_to_each_of_its_runs():
    found = links(Paths("mine"), replace(value("row", "C", "", 1.0), run="a-s0-1/xe a-s1-2/xe"))
    assert [link.href for link in found] == [f"../../results/mine/runs/{name}/xe/" for name in ("a-s0-1", "a-s1-2")]
    assert [link.name for link in found] == ["a-s0-1/xe", "a-s1-2/xe"]


# ---- drawings


def test_an_effect_is_drawn_from_0_in_the_middle():
    """The widest number, 10, is 50 / 1.08 from the middle."""
    drawn = glyph(5.0, -10.0, 8.0, paper=-5.0)
    far = 50 / 1.08
    assert drawn.low == pytest.approx(50 - far, abs=0.01) and drawn.value == pytest.approx(50 + far / 2, abs=0.01)
    assert drawn.paper == pytest.approx(50 - far / 2, abs=0.01)
    assert drawn.text == "ours +5.0, interval -10.0 to +8.0; paper -5.0"
    assert glyph(0.0, None, None).value == 50


def test_figures_take_their_colours_from_the_page_and_nothing_from_elsewhere():
    point = Point("a", 1.0, 2.0, 1.0, 3.0, False)
    figures = [
        sweep_figure([point, Point("b", None, 0.0, None, None, True)], "x <&", "y", "one"),
        curves_figure(
            [PlottedLine("base", 0, (1.0, 2.0), (3.0, 4.0)), PlottedLine("RDT", 1, (1.0,), (2.0,))], "loss", "two"
        ),
        bits_figure([[0.1, 0.9], [1.0, 1.0]], ["a", "(end)"], "three"),
    ]
    for svg in figures:
        assert svg.startswith("<svg") and svg.endswith("</svg>\n") and "var(--series-1)" in svg
        assert not re.search(r"#0000\d\d|https?:|DejaVu|<metadata|<style", svg)
    assert "x &lt;&amp;" in figures[0] and ">base<" in figures[1]
    assert figures[2] == bits_figure([[0.1, 0.9], [1.0, 1.0]], ["a", "(end)"], "three")


def test_pictures_and_numbers_in_words():
    assert data_uri(Picture.new("RGB", (4, 4))).startswith("data:image/webp;base64,UklGR")
    assert [duration(seconds) for seconds in (None, 1.25, 125, 9000)] == ["–", "1.2 s", "2 min 5 s", "2.5 h"]
    assert [scientific(number) for number in (None, 1.5e9, 2e12)] == ["–", "1.50e9", "2.00e12"]
    assert ticks("a `b<c` d") == "a <code>b&lt;c</code> d"


def test_multiply_adds_are_those_of_the_matrix_products():
    """A linear map of 3 rows, 4 -> 5, is 3 * 4 * 5; attention of 6 queries to 7 keys of 8, 2 * 6 * 7 * 8."""
    linear, (q, k) = torch.nn.Linear(4, 5), (torch.rand(1, 1, n, 8) for n in (6, 7))
    assert counted(lambda: linear(torch.rand(3, 4))) == 60
    assert counted(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, k)) == 672


def test_jobs_are_summed_by_kind_from_their_manifests(tmp_path):
    """Two trainings of 10 and 20 s; nothing is said of their CPU time as long as one of them is not known."""
    planned, paths = plan(load_experiment("smoke"), load_tables()), Paths("smoke", tmp_path / "results", tmp_path)
    first, second, *_ = (run for run, stage in planned.trainings if run.startswith("delta_sen"))

    def write(run: str, seconds: int, cpu: float | None, memory: dict[str, float]) -> None:
        manifest = {"wall_seconds": seconds, "cpu_seconds": cpu, "peak_memory_mb": memory, "tracking_job": run}
        paths.stage(run, "xe").mkdir(parents=True, exist_ok=True)
        (paths.stage(run, "xe") / "manifest.json").write_text(json.dumps(manifest))

    write(first, 10, 9.5, {"self": 300.5, "children": 200})
    write(second, 20, None, {"self": 400, "children": 0})
    (found,) = jobs(planned, paths)
    assert found.kind == "train a captioner, cross-entropy" and found.multiply_adds > 1e6
    assert (found.jobs, found.seconds, found.longest, found.cpu_seconds, found.memory) == (2, 30, 20, None, 500.5)
    write(second, 20, 18.5, {"self": 400, "children": 0})
    (found,) = jobs(planned, paths)
    assert (found.cpu_seconds, found.memory) == (28.0, 500.5)


def test_the_citations_are_those_of_the_file():
    (_, paper), (_, suite) = citations()
    assert "Wan, Jun and Gan, Min" in paper and "{Fine-Grained Image Captioning by Ranking" in paper
    assert suite.startswith("@software{rdt-suite,")
    entry = {"title": "T", "authors": [{"name": "A B"}], "year": 2025}
    assert bibtex("misc", "k", entry) == "@misc{k,\n  author = {{A B}},\n  title = {{T}},\n  year = {2025}\n}"


# ---- the whole page


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the finished tiny experiment, Tables II and VII."""
    folder = tmp_path_factory.mktemp("report") / "copy"
    shutil.copytree(finished, folder)
    tiny.without_sending(folder)
    done = python(folder, "-m", "rdt", "report", FILE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Report: reports/tiny/report.html\n"
    return folder / "reports/tiny/report.html"


class Seen(HTMLParser):
    """Addresses, ids, headings and cells of a page, and the elements that have no text for those who see nothing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.mute: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        own = dict(attributes)
        self.tags.append(tag)
        self.ids += [own["id"]] if own.get("id") else []
        self.links += [own["href"]] if tag == "a" else []
        self.sources += [own[name] for name in ("src", "srcset", "data", "action", "poster") if own.get(name)]
        self.sources += [own["href"]] if tag in ("link", "image", "use") and own.get("href") else []
        if (tag == "img" and not own.get("alt")) or (
            own.get("role") in ("img", "region") and not own.get("aria-label")
        ):
            self.mute.append(tag)


@pytest.mark.slow
def test_the_page_is_whole_in_itself(page):
    text = page.read_text()
    seen = Seen(text)
    assert page.stat().st_size < 15e6
    assert not re.search(r"https?://|@import|url\((?!#)", text) and "script" not in seen.tags
    assert all(source.startswith(("data:", "#")) for source in seen.sources)
    assert seen.mute == [] and seen.tags.count("h1") == 1
    inner = {link[1:] for link in seen.links if link.startswith("#")}
    assert inner <= set(seen.ids) and len(set(seen.ids)) == len(seen.ids)
    outer = [link for link in seen.links if not link.startswith("#")]
    assert outer and all((page.parent / link).exists() for link in outer)


@pytest.mark.slow
def test_every_measured_cell_leads_to_its_run(page):
    text = page.read_text()
    with (page.parent / "tables/table_VII.csv").open(encoding="utf-8", newline="") as file:
        measured = [line for line in csv.DictReader(file) if line["status"] == "measured"]
    assert len(measured) == 2 * 3
    tables = text.partition('id="tables"')[2].partition("</section>")[0]
    for line in measured:
        number, run = float(line["ours"]), line["run"]
        assert f'href="../../results/tiny/runs/{run}/" title="run {run}">{number:.1f}</a>' in tables


@pytest.mark.slow
def test_the_page_says_what_the_results_say(page):
    text = page.read_text()
    results = page.parents[2] / "results/tiny"
    for line in (results / "headline.txt").read_text().splitlines()[2:]:
        assert line in text
    counts = re.findall(r'<b class="[a-z-]+">(\d+)</b>claims? ([a-z ,]*[a-z])', text)
    assert ", ".join(f"{count} {verdict}" for count, verdict in counts) in (results / "verdicts.txt").read_text()
    assert "Tables VI and VIII are not among the tables" in text
    assert "snakemake differences --config experiment=tiny" in text
    assert "Which part does the work?" not in text  # no controls were run
    assert "layer normalisation" in text  # what the heatmaps cannot show


@pytest.mark.slow
def test_the_chain_ends_in_the_caption_that_was_scored(page):
    """Three steps, whose predictions stand in a list; the caption is that of the file."""
    chain = page.read_text().partition('id="denoising"')[2].partition("</section>")[0]
    (image,), (shown,) = re.findall(r"chain on image (\d+)", chain), re.findall(r"<dd><b>([^<]*)</b>", chain)
    (folder,) = (page.parents[2] / "results/tiny/captions").glob("rdt-s0-*/rl")
    said = {one["image_id"]: one["caption"] for one in json.loads((folder / "primary-test.json").read_text())}
    assert shown == (said[int(image)] or "(an empty caption)")
    steps = re.findall(r"<li><span>steps? (\d)(?:–(\d))?</span>", chain)
    assert [int(first) for first, _ in steps][0] == 1 and int(steps[-1][1] or steps[-1][0]) == 3


@pytest.mark.slow
def test_the_page_is_the_same_when_it_is_written_again(page):
    before = page.read_bytes()
    assert python(page.parents[2], "-m", "rdt", "report", FILE).returncode == 0
    assert page.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH (Debian: apt-get install chromium)")
def test_a_browser_shows_it_without_a_complaint_or_a_request(page):
    wide = "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1"
    wide += " && !one.closest('.scroll, pre')).map(one => one.tagName + '.' + one.className)"
    colours = {}
    with browser.chromium(shutil.which("chromium")) as chromium:
        for width in WIDTHS:
            for scheme in SCHEMES:
                shown = chromium.open(page.as_uri(), width, scheme)
                assert [address for address in shown.requests if not address.startswith("data:")] == [page.as_uri()]
                assert shown.complaints == []
                assert shown.evaluate("innerWidth") == width
                assert shown.evaluate("document.documentElement.scrollWidth") <= width and shown.evaluate(wide) == []
                assert shown.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
                heights = "[...document.querySelectorAll('.chart text')].map(one => one.getBoundingClientRect().height)"
                assert shown.evaluate(f"Math.min(...{heights})") > 8
                style = "getComputedStyle(document.body)"
                colours[scheme] = shown.evaluate(f"[{style}.backgroundColor, {style}.color]")
    assert colours["light"] == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    assert colours["dark"] == ["rgb(20, 23, 27)", "rgb(230, 233, 237)"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH (Debian: apt-get install chromium)")
def test_the_browser_of_these_tests_notices_a_complaint_and_a_request(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='missing.png'><script>console.error('oh'); nowhere()</script><p style='width:3000px'>a")
    with browser.chromium(shutil.which("chromium")) as chromium:
        shown = chromium.open(bad.as_uri(), 400, "light")
        assert (tmp_path / "missing.png").as_uri() in shown.requests
        assert any("oh" in one for one in shown.complaints) and any("nowhere" in one for one in shown.complaints)
        assert shown.evaluate("document.documentElement.scrollWidth") > 400
