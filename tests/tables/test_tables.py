"""Tables built from score files and the paper's numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.settings import TABLES, Data, Seeds
from rdt.metrics.statistics import to_columns
from rdt.scoring.measurements import Measurements
from rdt.scoring.per_image import PerImage
from rdt.tables.build import build_tables
from rdt.tables.formats import COLUMNS, TEST_COLUMNS, latex_escape, to_csv, to_latex, to_markdown, to_tests_csv
from rdt.tables.notes import data_note
from rdt.tables.page import headline
from rdt.tables.write import write_tables
from tests.experiment.test_plan import experiment, runs_of

CIDER = {"rdt": 200.0, "lambda_f1-lambda_e0-lambda_rank0": 190.0, "lambda_e1": 199.0}
IMAGES = 40
SPREAD = np.linspace(-1, 1, IMAGES)  # of CIDEr over images, in units of the metric: 100 points
SPREAD_ERROR = 100 * SPREAD.std(ddof=1) / IMAGES**0.5
DIVERSITY = {
    "mean": {"D@2": 12.25, "D@3": 24.5, "Voc-u": 33.0, "words": 66.0},
    "pooled": {"D@2": 4.0, "D@3": 8.0, "Voc-u": 50.0, "words": 100.0},
    "per_image": {"D@2": 30.0, "D@3": 40.0, "Voc-u": 5.0, "words": 10.0},
}


def document(cider: float, drawn: bool = False, words: float = 9.5) -> dict:
    metrics = {name: 50.0 for name in ("B@1", "B@2", "B@3", "B@4", "M", "R")} | {"C": cider}
    scope = {"n": IMAGES, "metrics": metrics}
    return {
        "scopes": {"c5": scope} | {f"all/{domain}": scope for domain in ("in", "near", "out", "entire")},
        "not_run": {"S": "not run: needs Java 8-14 and CoreNLP", "c40": "not run: c40 needs 40 references"},
        "n": IMAGES,
        "diversity": DIVERSITY if drawn else None,
        "mean_words": words,
        "mean_words_references": 10.0,
        "twins": {"pairs": 5, "accuracy": 60.0, "differ": 80.0},
    }


def scores(run: str, stage: str, role: str, split: str) -> dict | None:
    if stage == "xe@T1":
        return document(150.0)
    return document(cider_of(run), drawn=stage.startswith("rl"))


def cider_of(run: str) -> float:
    name = run.split("-s0-")[0].split("-s1-")[0]
    return CIDER.get(name, 100.0) + (5 if "-s1-" in run else 0)


def frame(run: str, stage: str, role: str, split: str) -> pd.DataFrame:
    """CIDEr by image: the same images are hard for all networks, and a little more for one than for another."""
    order = np.random.default_rng(sum(map(ord, run))).permutation(IMAGES)
    values = cider_of(run) / 100 + SPREAD + SPREAD[order] / 100
    scopes = ["c5"] if role != "novel" else [f"all/{domain}" for domain in ("in", "near", "out", "entire")]
    columns = [to_columns({"C": values[:, None]}, scope) for scope in scopes]
    return pd.DataFrame({name: part for each in columns for name, part in each.items()})


def measured(planned, score=scores, by_image=frame) -> Measurements:
    nothing = PerImage(planned, by_image, lambda *_: None, lambda _: ())
    return Measurements(planned, score, nothing)


def built(planned, *sources, human=None):
    return build_tables(planned, load_tables(), measured(planned, *sources), human)


@pytest.fixture(scope="module")
def single():
    usual = experiment()
    return plan(replace(usual, training=replace(usual.training, cascades=1)), load_tables())


@pytest.fixture(scope="module")
def tables(single):
    return {table.name: table for table in built(single)}


def lines_of(table, form=to_csv) -> dict[tuple[str, str], dict[str, str]]:
    return {(line["row"], line["column"]): line for line in csv.DictReader(io.StringIO(form(table)))}


def test_csv_of_a_measured_cell(tables, single):
    line = lines_of(tables["II"])["RDT◇", "xe/C"]
    assert tuple(line) == COLUMNS
    assert line == {
        "table": "II",
        "row": "RDT◇",
        "column": "xe/C",
        "paper": "125.9",
        "ours": "200.0000",
        "ci_low": line["ci_low"],
        "ci_high": line["ci_high"],
        "n_seeds": "1",
        "status": "measured",
        "run": runs_of(single, "II", "RDT◇", "xe/C")[0] + "/xe",
        "base": "SCD-Net◇ (CVPR23) [9]",
        "over_base": "10.0000",
        "over_base_low": line["over_base_low"],
        "over_base_high": line["over_base_high"],
        "paper_over_base": "4.6000",  # 125.9 - 121.3
    }
    assert 9 < float(line["over_base_low"]) < 10 < float(line["over_base_high"]) < 11
    half = 2.0227 * SPREAD_ERROR  # Student's t of 39 degrees of freedom
    assert float(line["ci_low"]) == pytest.approx(200 - half, abs=0.5)
    assert float(line["ci_high"]) == pytest.approx(200 + half, abs=0.5)


def test_without_scores_by_image_one_seed_has_no_interval(single, tables):
    assert lines_of(tables["II"])["RDT◇", "xe/M"]["ci_low"] == ""
    table = built(single, scores, lambda *_: None)[0]
    line = lines_of(table)["RDT◇", "xe/C"]
    assert (line["ours"], line["ci_low"], line["status"]) == ("200.0000", "", "measured")
    assert {line["p"] for line in lines_of(table, to_tests_csv).values()} == {""}


def test_a_published_number_never_stands_as_ours(tables):
    for table in tables.values():
        for line in csv.DictReader(io.StringIO(to_csv(table))):
            assert (line["ours"] != "") == (line["status"] == "measured") == (line["run"] != "")
            if line["status"] == "published":
                assert line["paper"]
            assert line["status"] in ("measured", "published") or line["status"].startswith("not run: ")


def test_reasons_of_cells_that_were_not_run(tables):
    assert lines_of(tables["II"])["RDT◇", "xe/S"]["status"] == "not run: needs Java 8-14 and CoreNLP"
    assert lines_of(tables["III"])["RDT◇", "c40/C"]["status"] == "not run: c40 needs 40 references"
    assert lines_of(tables["IV"])["RDT◇", "novel-near/C"]["ours"] == "200.0000"


def test_a_row_that_the_paper_lacks_has_no_paper_number(tables):
    line = lines_of(tables["II"])["Transformer (teacher)", "rl/C"]
    assert (line["paper"], line["status"], line["ours"]) == ("", "measured", "100.0000")


def test_diversity_is_the_mean_of_the_draws(tables):
    assert lines_of(tables["V"])["base", "D@2"]["ours"] == "12.2500"
    assert lines_of(tables["VII"])["RDT◇", "Voc-u"]["ours"] == "33.0000"


def test_missing_scores_are_said(single):
    table = next(t for t in built(single, lambda *_: None) if t.name == "VI")
    assert {value.status for value in table.values} == {"not run: no scores yet"}


@pytest.fixture(scope="module")
def two():
    return plan(experiment(tables=("VI",), seeds=Seeds((0, 1), (0, 1))), load_tables())


def test_mean_and_interval_over_seeds_and_images(two):
    """Seeds 200 and 205: mean 202.5, s = 3.5355, t(0.975, 1) = 12.706, 12.706 s / sqrt(2) = 31.766 over the seeds;
    t(0.975, 39) = 2.0227 times the error over images."""
    table = built(two)[0]
    line = lines_of(table)["λ_F=0.75, λ_E=0.55", "C"]
    assert (line["ours"], line["n_seeds"]) == ("202.5000", "2")
    half = np.hypot(31.766, 2.0227 * SPREAD_ERROR)
    assert float(line["ci_low"]) == pytest.approx(202.5 - half, abs=0.5)
    assert float(line["ci_high"]) == pytest.approx(202.5 + half, abs=0.5)
    assert lines_of(table, to_tests_csv)["λ_F=0.75, λ_E=0.55", "C"]["sd"] == "3.5355"
    shown = f"[{float(line['ci_low']):.1f}, {float(line['ci_high']):.1f}]"
    assert f"| **202.5** {shown} |" in to_markdown(table) and r"& \textbf{202.5} &" in to_latex(table)
    assert f"& {shown} &" in to_latex(table)
    assert any(note.startswith("Ours: mean over 2 seeds, with 95 %") for note in table.notes)


def test_without_scores_by_image_several_seeds_have_students_interval(two):
    line = lines_of(built(two, scores, lambda *_: None)[0])["λ_F=0.75, λ_E=0.55", "C"]
    assert float(line["ci_high"]) == pytest.approx(202.5 + 31.766, abs=1e-3)


def test_phases_may_differ_in_their_seeds():
    planned = plan(experiment(tables=("II",), seeds=Seeds((0, 1), (0,))), load_tables())
    table = built(planned)[0]
    lines = lines_of(table)
    assert (lines["RDT◇", "xe/C"]["n_seeds"], lines["RDT◇", "rl/C"]["n_seeds"]) == ("2", "1")
    noted = next(note for note in table.notes if note.startswith("Ours: mean over 2 seeds, "))
    assert "where a cell has one seed (n_seeds in the CSV), 95 % bootstrap intervals over the test images" in noted


def test_rows_are_compared_with_the_reference(tables):
    """RDT has 200, SCD-Net 190 and λ_E=1 199, on images that are alike to 1 in 100: far more than chance."""
    lines = lines_of(tables["II"], to_tests_csv)
    assert tuple(lines["RDT◇", "xe/C"]) == TEST_COLUMNS
    line = lines["SCD-Net◇ (CVPR23) [9]", "xe/C"]
    assert (line["reference"], line["difference"], line["interval_over"]) == ("RDT◇", "-10.0000", "images")
    assert float(line["ci_low"]) < -10 < float(line["ci_high"]) < -9
    assert (line["n_images"], lines["RDT◇", "xe/C"]["reference"]) == (str(IMAGES), "")
    assert float(line["p"]) == pytest.approx(1 / 10_001, rel=0.01)  # printed with two digits
    tests = [line for line in lines.values() if line["p"]]
    assert len(tests) == 4  # CIDEr of SCD-Net and the teacher in two blocks; nothing else is known by image
    assert {line["p_holm"] for line in tests} == {"0.0004"}  # 4 / 10,001
    text = to_markdown(tables["II"])
    assert r"| **190.0**\* [" in text and "| **200.0** [" in text
    assert r"- \*: differs from RDT◇" in text and "for the 4 tests of this table" in text
    assert r"\textbf{190.0}$^{*}$" in to_latex(tables["II"])


def test_several_seeds_are_averaged_by_image_before_they_are_exchanged(two):
    """Every network has 5 more with the second seed, so differences are those of one seed."""
    line = lines_of(built(two)[0], to_tests_csv)["λ_F=0.75, λ_E=1", "C"]
    assert (line["difference"], line["interval_over"]) == ("-1.0000", "images and seeds")
    assert float(line["p"]) == pytest.approx(1 / 10_001, rel=0.01)


def test_spice_dp_is_marked(single):
    def with_spice(*of):
        found = scores(*of)
        found["not_run"].pop("S")
        for scope in found["scopes"].values():
            scope["metrics"]["S"] = 14.0
        return found | {"spice": "SPICE-dp"}

    table = next(table for table in built(single, with_spice) if table.name == "II")
    assert "| **14.0**† |" in to_markdown(table) and "- †: SPICE-dp in place of SPICE" in to_markdown(table)
    assert r"\textbf{14.0}$^{\dagger}$" in to_latex(table) and to_latex(table).isascii()
    original = next(t for t in built(single, lambda *of: with_spice(*of) | {"spice": "SPICE"}) if t.name == "II")
    assert "†" not in to_markdown(original) and "| **14.0** |" in to_markdown(original)


def test_diversity_in_three_scopes_with_words_and_vocabulary(tables):
    notes = tables["VII"].notes
    assert "RDT◇: D@2 12.2 / 4.0 / 30.0, D@3 24.5 / 8.0 / 40.0; Voc-u 66.0 of 200 words (pooled 100.0)" in notes
    assert sum(note.startswith(("RDT◇: ", "SCD-Net◇ (CVPR23) [9]: ")) for note in notes) == 2
    assert not any("Voc-u" in note for note in tables["VIII"].notes)


def test_scores_of_other_images_are_not_compared(single):
    def reordered(run, *of):
        found = frame(run, *of)
        return found.iloc[::-1] if run.startswith("lambda_e1") else found

    with pytest.raises(UserError, match="lambda_e1-s0-.*: are not of the same images as others"):
        built(single, scores, reordered)


@pytest.mark.parametrize("name", TABLES)
def test_rows_keep_the_papers_order(tables, name):
    rows = [row["row"] for row in load_tables()[name]["rows"]]
    assert [row for _, row, _, _ in tables[name].rows] == rows
    text = to_markdown(tables[name])
    starts = [text.index(f"| {row} |") if f"| {row} |" in text else text.index(f"| *{row}* |") for row in rows]
    assert starts == sorted(starts)


def test_markdown_cells(tables):
    text = to_markdown(tables["II"])
    assert "| RDT◇ | **50.0** |" in text
    assert "| *EVCAP (CVPR24) [34]* |  |  |  | *41.5* |" in text
    assert "| (1) |" in text
    assert "(1) not run: needs Java 8-14 and CoreNLP" in text
    assert r"| **100.0**\* [" in text
    assert "- Ours is measured on rendered images: scenes (primary). The paper's numbers are about photographs" in text
    assert "- B@n: BLEU-n, M: METEOR, R: ROUGE-L, C: CIDEr, S: SPICE; all times 100. M and S: made for English." in text
    assert text.index("**Autoregressive**") < text.index("EVCAP") < text.index("**Non-Autoregressive**")


def test_notes_say_what_ours_is(tables, single):
    assert "Italic rows" in to_markdown(tables["VII"]) and "Italic rows" not in to_markdown(tables["VI"])
    assert "Ours is one network; the paper's are two in cascade." in tables["VI"].notes
    assert "Novel scenes" not in to_markdown(tables["VI"])
    cascaded = replace(single.experiment, training=replace(single.experiment.training, cascades=2))
    table = built(plan(cascaded, load_tables()))[0]
    assert (table.name, [note for note in table.notes if "cascade" in note]) == ("II", [])


def test_a_grid_of_another_budget_says_so(single, tables):
    note = "Ours trained for 1 epoch here and for 3 in the other tables: compare within this table."
    shorter = replace(single.experiment, training=replace(single.experiment.training, grid_xe_epochs=1))
    noted = {table.name for table in built(plan(shorter, load_tables())) if note in table.notes}
    assert noted == {"VI", "VIII"} and not any("trained for" in note for note in tables["VI"].notes)


def test_a_table_whose_columns_have_no_data_says_so():
    """Table IV has the columns of two other data sets."""
    own = experiment(tables=("IV",))
    alone = replace(own, data={"primary": own.data["primary"]})
    assert data_note(alone, []) == "The experiment has the data of none of its columns."


def test_real_data_are_named_and_not_called_rendered(single):
    data = {"primary": Data(source="karpathy", title="Flickr8k", annotations="a.json", images="i")}
    real = plan(replace(single.experiment, data=data, tables=("II",)), load_tables())
    (table,) = built(real)
    note = "Ours is measured on Flickr8k (primary); not all of it is the paper's: compare differences between rows, "
    assert f"{note}not levels." in table.notes
    assert not any("125.9" in line for line in headline(real, [table], scores, None))


@pytest.fixture(scope="module")
def papers_own(single):
    """The recipe of COCO with a novel role that is not nocaps."""
    coco = Data(source="karpathy", title="COCO", annotations="a.json", images="i", as_in_paper=True)
    other = Data(source="nocaps", title="Mine", annotations="b.json", images="i")
    data = {"primary": coco, "secondary": replace(coco, title="Flickr30k"), "novel": other}
    planned = plan(replace(single.experiment, data=data), load_tables())
    return planned, {table.name: table for table in built(planned)}


def test_on_the_papers_own_data_levels_stand_beside_the_papers(papers_own):
    planned, tables = papers_own
    text = to_markdown(tables["II"])
    assert "| RDT◇ | 81.2 / **50.0** (-31.2) |" in text and "| 22.7 / (1) |" in text
    assert re.search(r"\| 125\.9 / \*\*200\.0\*\* \[\d+\.\d, \d+\.\d\] \(\+74\.1\) \|", text)
    assert "| +4.6 / **+10.0** [" in text
    assert "Ours is measured on the paper's own data: COCO (primary)." in tables["II"].notes
    line = "RDT◇: CIDEr 200.0 after cross-entropy (paper: 125.9), +10.0 [+9."
    assert any(found.startswith(line) for found in headline(planned, list(tables.values()), scores, None))


def test_a_level_is_the_papers_own_only_where_all_data_behind_it_are(papers_own):
    """A network from COCO on other novel objects; quoted rows are nobody's of ours."""
    values = {value.cell.column: value for value in papers_own[1]["IV"].values if value.cell.row == "RDT◇"}
    assert {column for column, value in values.items() if value.as_in_paper} == {"secondary/C", "secondary/S"}
    assert values["novel-near/C"].difference is None and values["secondary/C"].difference is not None
    assert not any(value.as_in_paper for value in papers_own[1]["II"].values if not value.cell.measured)


def test_the_servers_hidden_images_are_nobodys_data(papers_own):
    """Table III of the paper is about them; ours is about COCO's Karpathy test images, whose levels are others."""
    table = papers_own[1]["III"]
    assert not table.as_in_paper and "| RDT◇ | **50.0** |" in to_markdown(table)
    note = "Ours is measured on COCO (primary); not all of it is the paper's: compare differences between rows, "
    assert f"{note}not levels." in table.notes


def test_a_role_without_data_is_not_other_data(single):
    """Table IV without nocaps: what is measured is the paper's own."""
    data = {
        role: Data(source="karpathy", title=role, annotations="a.json", images="i", as_in_paper=True)
        for role in ("primary", "secondary")
    }
    (table,) = built(plan(replace(single.experiment, data=data, tables=("IV",)), load_tables()))
    assert "Ours is measured on the paper's own data: secondary (secondary)." in table.notes


def test_on_other_data_no_level_of_the_paper_stands_in_a_measured_row(tables):
    """Its 125.9 is about COCO; what may be compared is what a row adds to the base row, 4.6 there."""
    for table in tables.values():
        measured_rows = [line for line in to_markdown(table).splitlines() if re.search(r"\| \*\*\d", line)]
        assert measured_rows and not any(" / " in line for line in measured_rows)
    text = to_markdown(tables["II"])
    assert "| ↳ minus SCD-Net◇ (CVPR23) [9] | +1.4 / **+0.0** |" in text and "| +4.6 / **+10.0** [" in text
    assert "; under them the difference to the base row: the paper's / **ours** [95 % interval]." in text
    assert r"\quad minus SCD-Net$\diamond$ (CVPR23) [9], paper & $+1.4$ &" in to_latex(tables["II"])
    assert "(paper: 125.9)" not in to_latex(tables["II"]) and ", paper & 81.2" not in to_latex(tables["II"])


@pytest.mark.parametrize("name", TABLES)
def test_every_table_names_a_base_row_of_its_own(tables, name):
    """It has no difference to itself, all other rows of ours have one, and the paper's is a plain subtraction."""
    table, base = tables[name], load_tables()[name]["base"]
    assert base in [row["row"] for row in load_tables()[name]["rows"] if "run" in row]
    published = {(value.cell.row, value.cell.column): value.paper for value in table.values}
    for value in table.values:
        assert (value.over_base is not None) == (value.run != "" and value.cell.row != base)
        if value.over_base and value.paper and published[base, value.cell.column]:
            expected = float(value.paper) - float(published[base, value.cell.column])
            assert value.over_base.paper == pytest.approx(expected)


def test_without_its_base_row_a_table_has_levels_alone():
    rows = {"VI": ("λ_F=0.75, λ_E=0.55",)}
    (table,) = built(plan(experiment(tables=("VI",), rows=rows), load_tables()))
    assert table.base == "" and "↳" not in to_markdown(table) and "the base row" not in to_markdown(table)
    assert "minus" not in to_latex(table)


@pytest.mark.parametrize("name", TABLES)
def test_markdown_tables_are_rectangular(tables, name):
    blocks = re.findall(r"(?:^\|.*\n)+", to_markdown(tables[name]), re.MULTILINE)
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    wide = sum(len(columns) for _, columns in tables[name].parts) > 9
    assert len(blocks) == (2 if wide else 1)


@pytest.mark.parametrize("name", TABLES)
def test_latex_is_well_formed(tables, name):
    text = to_latex(tables[name])
    columns = sum(len(columns) for _, columns in tables[name].parts) + 1
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    for line in body:
        assert line.endswith(r" \\")
        assert line.startswith(r"\multicolumn") or len(re.findall(r"(?<!\\)&", line)) == columns - 1
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert text.isascii()
    assert rf"\renewcommand{{\thetable}}{{{name}}}" in text
    for name_ in re.findall(r"\\begin{(\w+)}", text):
        assert text.count(rf"\begin{{{name_}}}") == text.count(rf"\end{{{name_}}}")


def test_latex_has_no_lines_for_numbers_that_the_paper_lacks(tables):
    text = to_latex(tables["II"])
    assert text.count("Transformer (teacher)") == 2  # the row and the note
    assert "Transformer (teacher) & " in text and text.count(r"\quad difference") == 0


def test_latex_has_the_papers_levels_where_the_data_are_its_own(papers_own):
    text = to_latex(papers_own[1]["II"])
    assert "Transformer (teacher) & " in text and r"RDT$\diamond$, paper & 81.2 & " in text
    assert text.count(r"\quad difference") == 2 and r"& $-31.2$ &" in text


def test_latex_escape():
    assert latex_escape("50 % & a_b#{~}\\") == (r"50 \% \& a\_b\#\{\textasciitilde{}\}\textbackslash{}")
    assert latex_escape("λ_F=1, δ_tim, RDT◇") == r"$\lambda_{\mathrm{F}}$=1, $\delta_{\mathrm{tim}}$, RDT$\diamond$"


def baselines() -> dict:
    row = dict.fromkeys(("B@1", "B@4", "M", "R"), 40.0)
    return {
        "human": row | {"C": 250.0},
        "retrieved": row | {"C": 80.0},
        "most_frequent": row | {"C": 20.0},
    }


def test_headline(single, tables):
    lines = headline(single, list(tables.values()), scores, baselines())
    beside = (
        r"RDT◇: CIDEr 200\.0 after cross-entropy, \+10\.0 \[.*\] against SCD-Net◇ \(CVPR23\) \[9\] \(paper: \+4\.6\)"
    )
    assert any(re.fullmatch(beside, line) for line in lines)
    assert "SCD-Net◇ (CVPR23) [9]: CIDEr 190.0 after cross-entropy" in lines
    assert "Transformer (teacher): CIDEr 100.0 after CIDEr optimisation" in lines
    assert any(
        line.startswith("RDT after cross-entropy has 80 % of the human CIDEr (200.0 of 250.0)") for line in lines
    )
    assert "Its captions have 9.5 words, the references 10.0 (-5 %)" in lines
    assert "Its full chain is not worse than a single step: CIDEr 200.0 and 150.0" in lines


@pytest.mark.parametrize(("human", "told"), [(None, False), (333.0, False), (334.0, True)])
def test_networks_that_do_not_caption_are_told_before_their_numbers(single, human, told):
    """The best of Table V has 200, which is 60 % of 333.3."""
    (table,) = (table for table in built(single, human=human) if table.name == "V")
    sentence = "These networks are barely trained: CIDEr at most 200, where a human caption has 334."
    assert (to_markdown(table).split("\n")[2].startswith(f"**{sentence}")) is told
    assert (rf"\textbf{{{sentence}" in to_latex(table)) is told
    assert any(line.startswith(f"Table V: {sentence}") for line in headline(single, [table], scores, None)) is told


def test_a_worse_full_chain_is_not_hidden(single):
    def worse(run, stage, role, split):
        return document(300.0) if stage == "xe@T1" else scores(run, stage, role, split)

    lines = headline(single, [], worse, None)
    assert "Its full chain IS WORSE THAN a single step: CIDEr 200.0 and 300.0" in lines


PROBE = {
    "recall": {"recall@1": 61.5, "recall@5": 90.0},
    "images": 50,
    "cells": {"kind": {"probe": 88.12, "most_frequent": 12.5}},
}


def test_everything_is_written(tmp_path, single):
    paths = Paths("tiny", tmp_path / "results", tmp_path / "reports")
    for job in single.captions:
        path = paths.scores(job.run, job.variant, job.role, job.split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(scores(job.run, job.variant, job.role, job.split)))
    baseline = paths.baselines("primary", "test")
    baseline.parent.mkdir(parents=True)
    baseline.write_text(json.dumps(baselines()))

    probe = paths.encoder / "probe.json"
    probe.parent.mkdir()
    probe.write_text(json.dumps(PROBE))

    lines = write_tables(single, load_tables(), paths)

    assert any("80 % of the human" in line for line in lines)
    names = {path.name for path in paths.tables.iterdir()}
    suffixes = (".csv", ".md", ".tex", "_tests.csv")
    assert names == {f"table_{t}{s}" for t in TABLES for s in suffixes}
    page = (paths.reports / "README.md").read_text()
    assert "| primary | human | 40.0 | 40.0 | 40.0 | 40.0 | 250.0 |" in page
    assert f"| II: RDT◇ | cross-entropy | 60.0 | 80.0 | 5 | {runs_of(single, 'II', 'RDT◇', 'xe/C')[0]}/xe |" in page
    assert "after CIDEr optimisation (32 measured, 4 not run; [CSV](tables/table_V.csv)" in page
    assert "Nothing here can be sent to the server" in (paths.tables / "table_III.md").read_text()
    assert "[CSV](tables/table_II.csv)" in page and "among those of all 50: 61.5 % at 1, 90.0 % at 5." in page
    assert "| kind | 88.1 | 12.5 |" in page
