"""``rdt compare``: the table of several captioners, the tests between them, and the one sentence where it cannot."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from rdt.cli import main
from rdt.metrics.corpus import Scorer

REFERENCES = {
    1: ["A man rides a bike.", "The man is on a bicycle."],
    2: ["Two dogs run in a park.", "Dogs play on the grass."],
    3: ["A red ball on green grass.", "The ball is red."],
    4: ["A plate of food on a table.", "Food on a table."],
}
CAPTIONS = {
    "good": {1: "a man on a bike", 2: "two dogs play in the park", 3: "a red ball", 4: "food on a table"},
    "fair_1": {4: "a table", 3: "a ball", 2: "two dogs in a park", 1: "a man"},
    "bad": dict.fromkeys(REFERENCES, "a cat"),
}


def write(name: str, value: object) -> None:
    Path(name).write_text(json.dumps(value))


def results(captions: dict) -> list[dict]:
    return [{"image_id": image, "caption": text} for image, text in captions.items()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three captioners' outputs and the references, from which the command is called."""
    monkeypatch.chdir(tmp_path)
    for name, captions in CAPTIONS.items():
        write(f"{name}.json", results(captions))
    texts = [{"image_id": image, "caption": text} for image, several in REFERENCES.items() for text in several]
    write("A.json", {"images": [{"id": image} for image in REFERENCES], "annotations": texts})
    return tmp_path


def compare(*more: str, files: tuple[str, ...] = tuple(CAPTIONS), metrics: str = "rouge") -> int:
    named = [f"{name}.json" for name in files]
    return main(["compare", *named, "--references", "A.json", "--out", "board.md", "--metrics", metrics, *more])


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def markdown() -> dict[str, dict[str, str]]:
    """Every line of the tables of the board: its cells by their columns' headings."""
    found, heading = {}, []
    for line, below in zip(lines := Path("board.md").read_text().splitlines(), [*lines[1:], ""], strict=True):
        if below.startswith("|---"):
            heading = cells(line)
        elif line.startswith("| "):
            found[cells(line)[0]] = dict(zip(heading, cells(line), strict=True))
    return found


def holm_by_hand(p_values: dict) -> dict:
    """Adjusted p: step down from the smallest, which is multiplied by the number of tests."""
    adjusted, least = {}, 0.0
    for left, name in zip(range(len(p_values), 0, -1), sorted(p_values, key=p_values.get), strict=True):
        least = adjusted[name] = max(least, min(1.0, left * p_values[name]))
    return adjusted


def test_scores_are_those_of_evaluate(folder, capsys):
    assert compare(metrics="bleu,rouge,cider,diversity") == 0
    printed, board = capsys.readouterr().out, markdown()
    for name in CAPTIONS:
        options = ["--references", "A.json", "--out", "scores.json", "--metrics", "bleu,rouge,cider,diversity"]
        assert main(["evaluate", "--results", f"{name}.json", *options]) == 0
        part = json.loads(Path("scores.json").read_text())["scopes"]["all"]
        for metric, title in (("B@4", "BLEU-4"), ("R", "ROUGE-L"), ("C", "CIDEr")):
            low, high = part["intervals"][metric]
            value, low, high = (round(number, 1) + 0.0 for number in (part["metrics"][metric], low, high))
            text = f"{value:.1f} [{low:.1f}, {high:.1f}]"
            assert board[name][title] == text
            assert text in next(line for line in printed.splitlines() if line.startswith(title))
        assert board[name]["Dist-2"] == f"{part['diversity']['D@2']:.1f}"
    assert "4 images; scores times 100" in printed


def test_tests_of_every_pair_are_paired_and_corrected(folder, capsys):
    """ROUGE-L is a mean over images, so the test flips the signs of 4 differences: 16 exchanges."""
    assert compare() == 0
    printed, board = capsys.readouterr().out, markdown()
    with Scorer() as scorer:
        values = {name: scorer.score(c, REFERENCES, ["R"]) for name, c in CAPTIONS.items()}
    by_image = {
        name: np.array([of.per_image["R"][of.image_ids.index(image)] for image in REFERENCES])
        for name, of in values.items()
    }
    differences = {(a, b): by_image[a] - by_image[b] for a, b in combinations(CAPTIONS, 2)}
    p_values = {
        pair: np.mean([abs(np.dot(signs, d)) >= abs(d.sum()) - 1e-9 for signs in product((1, -1), repeat=4)])
        for pair, d in differences.items()
    }
    for (a, b), p in holm_by_hand(p_values).items():
        text = board[f"{a} minus {b}"]["ROUGE-L"]
        assert text.startswith(f"{differences[a, b].mean():+.1f} [")
        assert text.endswith(f", {p:.2g}")
    assert "Holm's correction for 3 tests" in printed


def test_significance_is_marked(folder):
    """Ten images on which one captioner is always right: p = 2 / 1024, times 3 for the smallest two."""
    references = {image: [f"a word{image} here"] for image in range(10)}
    texts = [{"image_id": image, "caption": several[0]} for image, several in references.items()]
    write("A.json", {"annotations": texts})
    write("good.json", results({image: several[0] for image, several in references.items()}))
    for name, text in (("fair_1", "some thing"), ("bad", "no thing")):
        write(f"{name}.json", results(dict.fromkeys(references, text)))
    assert compare() == 0
    board = markdown()
    assert board["good minus bad"]["ROUGE-L"] == r"+100.0\* [+100.0, +100.0], 0.0059"
    assert board["fair_1 minus bad"]["ROUGE-L"] == "+0.0 [+0.0, +0.0], 1"
    latex = Path("board.tex").read_text()
    assert r"{good minus fair\_1} &  & $+100.0*$ \\" in latex
    assert r"\quad $p$ &  & 0.0059 \\" in latex
    assert latex.count("{") == latex.count("}")


def test_a_domain_has_a_table_of_its_own(folder, capsys):
    write("D.json", {"1": "alive", "2": "alive", "3": "things", "4": "things"})
    assert compare("--by", "D.json") == 0
    headings = [line for line in Path("board.md").read_text().splitlines() if line.startswith("## ")]
    assert headings == ["## All images", "## alive", "## things"]
    assert Path("board.tex").read_text().count(r"\begin{tabular}") == 3


def test_a_name_tells_captioners_apart(folder):
    for name in ("x", "y"):
        Path(name).mkdir()
        write(f"{name}/out.json", results(CAPTIONS["bad"]))
    assert compare(files=("x/out", "y/out")) == 0
    assert "x/out.json minus y/out.json" in markdown()


def test_without_additive_scores_there_are_no_tests(folder, capsys):
    assert compare(metrics="diversity") == 0
    assert "minus" not in capsys.readouterr().out + Path("board.md").read_text()


@pytest.mark.parametrize(
    ("options", "files", "message"),
    [
        ([], ("good",), "good.json: is the only captioner; name the results of two captioners or more"),
        ([], ("good", "good"), "good.json: is named twice"),
        ([], ("good", "none"), "none.json: the file does not exist"),
        ([], ("good", "short"), "short.json: lacks image 4"),
        (["--out", "board.json"], ("good", "bad"), "board.json: is not the name of a Markdown file"),
        (["--metrics", "blue"], ("good", "bad"), "--metrics: 'blue' is not a metric"),
        (["--split", "test"], ("good", "bad"), "A.json: is a COCO annotation file, which has no splits"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(folder, capsys, options, files, message):
    write("short.json", results({image: "a" for image in (1, 2, 3)}))
    before = sorted(path.name for path in folder.iterdir())
    assert compare(*options, files=files) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"rdt: error: {message}")
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def test_few_images_have_no_intervals_and_the_notes_of_evaluate(folder, capsys):
    """Three images, by file name: no interval of a score or a difference, and LaTeX without an empty formula."""
    kept = {image: texts for image, texts in REFERENCES.items() if image < 4}
    texts = [{"image_id": image, "caption": text} for image, several in kept.items() for text in several]
    write("A.json", {"images": [{"id": n, "file_name": f"{n}.jpg"} for n in kept], "annotations": texts})
    for name, captions in CAPTIONS.items():
        write(f"{name}.json", results({f"{image}.jpg": captions[image] for image in kept}))
    assert compare() == 0
    row = markdown()["good"]
    assert "[" not in row["ROUGE-L"] and "[" not in markdown()["good minus bad"]["ROUGE-L"]
    printed, board, latex = capsys.readouterr().out, Path("board.md").read_text(), Path("board.tex").read_text()
    for said in (
        "no intervals for fewer than 4 images (all)",
        "bad.json: captions are matched with references by file",
    ):
        assert said in printed and said in board
    assert "$$" not in latex
