"""Rows of a table from captions that were made elsewhere: scored, tested, tabulated and verified without training."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.sides import with_sides
from rdt.provenance.steps import Chain
from rdt.provenance.steps import tables as tables_step
from tests.support import tiny

ROWS = [
    {"row": "LLM", "captions": {"test": "llm.json"}, "cite": "Somebody (2026)", "seed": 0},
    {"row": "Other | lab", "captions": {"primary/test": "other.json"}},
    {"row": "Constant", "captions": {"test": "constant.json"}},
]
CONTENT = tiny.EXPERIMENT | {"tables": ["II"], "rows": {"II": ["LLM"]}, "extra_rows": {"II": ROWS}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment whose Table II has three rows from files and no network, made by its commands."""
    folder = tmp_path_factory.mktemp("given")
    tiny.write(folder, CONTENT)
    tiny.without_sending(folder)
    for command in ("scenes", "vocabulary"):
        assert tiny.rdt(folder, command, "tiny.yaml", "--role", "primary") == 0
    images = test_images(folder)
    captions = {
        "llm": {image["imgid"]: image["sentences"][0]["raw"] for image in images},
        "other": {image["imgid"]: " ".join(image["sentences"][1]["raw"].split()[:4]) for image in reversed(images)},
        "constant": {image["imgid"]: "a thing" for image in images},
    }
    for name, found in captions.items():
        write(folder, name, found)
    steps = planned(folder).behind(tables_step(*opened(folder)))
    for step in (step for step in steps if step.name == "captions"):
        assert (
            tiny.rdt(folder, "captions", "tiny.yaml", "--run", step.where["run"], "--stage", step.where["stage"]) == 0
        )
    assert tiny.rdt(folder, "score", "tiny.yaml", "--role", "primary") == 0
    assert tiny.rdt(folder, "tables", "tiny.yaml") == 0
    return folder


def test_images(folder) -> list[dict]:
    document = json.loads((folder / "results/tiny/data/primary/dataset.json").read_text())
    return [image for image in document["images"] if image["split"] == "test"]


test_images.__test__ = False


def write(folder, name: str, captions: dict) -> None:
    records = [{"image_id": image, "caption": text} for image, text in captions.items()]
    (folder / f"{name}.json").write_text(json.dumps(records))


def opened(folder):
    with tiny.inside(folder):
        experiment = load_experiment("tiny.yaml")
        return with_sides(plan(experiment, load_tables()), load_tables()), Paths("tiny")


def planned(folder) -> Chain:
    return Chain(*opened(folder))


def table(folder) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / "reports/tiny/tables/table_II.csv").open(encoding="utf-8", newline="") as file:
        return {(line["row"], line["column"]): line for line in csv.DictReader(file)}


def test_the_tables_need_nothing_else(made):
    """No features, no encoder, no index: the annotations, their words and the files of the rows."""
    with tiny.inside(made):
        names = [step.name for step in planned(made).behind(tables_step(*opened(made)))]
    assert sorted(names) == ["captions", "captions", "captions", "scenes", "score", "tables", "vocabulary"]


def test_a_row_has_the_numbers_of_evaluate(made):
    for name, row in (("llm", "LLM"), ("other", "Other | lab"), ("constant", "Constant")):
        options = ["--references", "results/tiny/data/primary/dataset.json", "--split", "test", "--out", "scores.json"]
        assert tiny.rdt(made, "evaluate", "--results", f"{name}.json", *options) == 0
        metrics = json.loads((made / "scores.json").read_text())["scopes"]["all"]["metrics"]
        for part in ("xe", "rl"):
            found = {metric: table(made)[row, f"{part}/{metric}"]["ours"] for metric in metrics}
            assert found == {metric: f"{value:.4f}" for metric, value in metrics.items()}


def test_a_row_stands_in_the_table_with_its_source(made):
    page = (made / "reports/tiny/tables/table_II.md").read_text()
    assert "**Captions made elsewhere**" in page
    assert "- LLM: captions made elsewhere, the same in all blocks, from llm.json: Somebody (2026)." in page
    assert "not run: this budget leaves the row out" in page  # the RDT's
    headline = (made / "results/tiny/headline.txt").read_text()
    assert headline.count("LLM: CIDEr") == 1 and "(captions made elsewhere)" in headline


def test_a_row_is_verified_down_to_its_file(made, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    verify = ("verify", "II/LLM/xe/C", "--experiment", "tiny.yaml")
    assert tiny.rdt(folder, *verify) == 0
    assert "scores that came out the same, computed again from the captions: 1" in capsys.readouterr().out
    (folder / "llm.json").write_text("[]")
    assert tiny.rdt(folder, *verify) == 1
    assert "llm.json" in capsys.readouterr().err


def test_captions_of_other_images_are_refused(made, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    image = test_images(folder)[0]["imgid"]
    (run,) = (name for name in opened(folder)[0].runs if name.startswith("given-LLM-s0-"))
    for captions, message in (({image: "a"}, "llm.json: lacks image"), ({99: "a"}, "llm.json: image 99 has no")):
        write(folder, "llm", captions)
        assert tiny.rdt(folder, "captions", "tiny.yaml", "--run", run, "--stage", "xe") == 2
        assert capsys.readouterr().err.startswith(f"rdt: error: {message}")
