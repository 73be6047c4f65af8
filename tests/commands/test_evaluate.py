"""``rdt evaluate``: what it reads, prints and writes, and the one sentence where it cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from rdt.cli import main
from rdt.metrics import statistics
from rdt.metrics.corpus import Scorer
from rdt.scoring.caveats import not_english
from rdt.scoring.evaluation import (
    Earlier,
    caption_diversity,
    earlier_statistics,
    evaluate_systems,
    interval_text,
    references_digest,
    scopes_of,
)

REFERENCES = {
    1: ["A man rides a bike.", "The man is on a bicycle."],
    2: ["Two dogs run in a park.", "Dogs play on the grass."],
    3: ["A red ball on green grass.", "The ball is red."],
    4: ["A plate of food on a table.", "Food on a table."],
}
CAPTIONS = {1: "a man on a bike", 2: "two dogs play in the park", 3: "a red ball", 4: "a cat"}
WORSE = dict.fromkeys(REFERENCES, "a man")


def results(captions: dict) -> list[dict]:
    return [{"image_id": image, "caption": text} for image, text in captions.items()]


def annotations(references: dict, domains: dict | None = None) -> dict:
    images = [{"id": image, **({"domain": domains[image]} if domains else {})} for image in references]
    return {
        "images": images,
        "annotations": [{"image_id": image, "caption": text} for image, texts in references.items() for text in texts],
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with captions, references and nothing else, from which the command is called."""
    monkeypatch.chdir(tmp_path)
    write("R.json", results(CAPTIONS))
    write("A.json", annotations(REFERENCES))
    return tmp_path


def write(name: str, value: object) -> None:
    Path(name).write_text(value if isinstance(value, str) else json.dumps(value))


def evaluate(*more: str, metrics: str = "bleu,rouge,cider,diversity") -> int:
    return main(
        [
            "evaluate",
            "--results",
            "R.json",
            "--references",
            "A.json",
            "--out",
            "scores.json",
            "--metrics",
            metrics,
            *more,
        ]
    )


def scores() -> dict:
    return json.loads(Path("scores.json").read_text())


def test_scores_table_and_files(folder, capsys):
    assert evaluate() == 0
    printed = capsys.readouterr().out
    document = scores()
    part = document["scopes"]["all"]
    assert (document["n"], document["annotated"], part["n"]) == (4, 4, 4)
    assert list(part["metrics"]) == ["B@1", "B@2", "B@3", "B@4", "R", "C"]
    assert part["intervals"]["C"][0] < part["metrics"]["C"] < part["intervals"]["C"][1]
    with Scorer() as scorer:
        direct = scorer.score(CAPTIONS, REFERENCES, list(part["metrics"]))
    assert part["metrics"] == direct.corpus
    low, high = part["intervals"]["C"]
    assert f"CIDEr                 {part['metrics']['C']:.1f} [{low:.1f}, {high:.1f}]" in printed
    assert "R.json: captions of 4 images" in printed
    frame = pd.read_parquet("scores.parquet")
    assert list(frame["image_id"]) == [1, 2, 3, 4]
    assert list(frame["caption"]) == list(CAPTIONS.values())
    assert frame["all/C"].tolist() == direct.per_image["C"].tolist()
    assert statistics.from_frame(frame, "all")["bleu"].tolist() == direct.statistics["bleu"].tolist()
    assert sorted(path.name for path in folder.iterdir()) == ["A.json", "R.json", "scores.json", "scores.parquet"]


def test_all_metrics_by_default(folder, capsys):
    assert main(["evaluate", "--results", "R.json", "--references", "A.json", "--out", "deep/scores.json"]) == 0
    document = json.loads(Path("deep/scores.json").read_text())
    found = document["scopes"]["all"]["metrics"]
    assert {*found, *document["not_run"]} == {"B@1", "B@2", "B@3", "B@4", "M", "R", "C", "S"}
    printed = capsys.readouterr().out
    assert "METEOR" in printed
    assert (document["spice"] if "S" in found else "S: not run: ") in printed


def test_on_a_terminal_java_is_told_of_where_it_may_start(folder, capsys, monkeypatch):
    for metrics, told in (("cider", ""), ("meteor,cider", "; METEOR starts Java, unless it has scored them before")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert evaluate(metrics=metrics) == 0
        assert f"scoring 4 captions{told}\n" in capsys.readouterr().err


def test_some_captions_only(folder, capsys):
    write("R.json", results({3: "a ball", 1: "a man"}))
    assert evaluate() == 0
    assert "captions of 2 of 4 annotated images" in capsys.readouterr().out
    assert (scores()["n"], scores()["annotated"]) == (2, 4)
    assert list(pd.read_parquet("scores.parquet")["image_id"]) == [1, 3]  # in the order of the references


def test_one_image_has_no_interval(folder, capsys):
    write("R.json", results({3: "a ball"}))
    assert evaluate() == 0
    assert scores()["scopes"]["all"]["intervals"]["R"] == [None, None]


def test_by_domain(folder, capsys):
    write("D.json", {"1": "people", "2": "animals", "3": "things", "4": "things", "99": "unseen"})
    assert evaluate("--by", "D.json") == 0
    parts = scores()["scopes"]
    assert {scope: part["n"] for scope, part in parts.items()} == {
        "all": 4, "all/animals": 1, "all/people": 1, "all/things": 2,
    }  # fmt: skip
    with Scorer() as scorer:
        things = scorer.score({i: CAPTIONS[i] for i in (3, 4)}, REFERENCES, ["C"])
    assert parts["all/things"]["metrics"]["C"] == things.corpus["C"]
    header = capsys.readouterr().out.splitlines()[2].split()
    assert header == ["all", "animals", "people", "things"]
    frame = pd.read_parquet("scores.parquet")
    assert frame["all/things/C"].isna().tolist() == [True, True, False, False]


def test_nocaps_domains_need_no_file(folder):
    domains = {1: "in-domain", 2: "out-domain", 3: "in-domain", 4: "near-domain"}
    write("A.json", annotations(REFERENCES, domains))
    assert evaluate() == 0
    assert list(scores()["scopes"]) == ["all", "all/in-domain", "all/near-domain", "all/out-domain"]


def test_karpathy_split(folder):
    images = [
        {"cocoid": image, "split": "test" if image > 2 else "val", "sentences": [{"raw": text} for text in texts]}
        for image, texts in REFERENCES.items()
    ]
    write("A.json", {"images": images})
    write("R.json", results({3: CAPTIONS[3], 4: CAPTIONS[4]}))
    assert evaluate("--split", "test") == 0
    assert (scores()["n"], scores()["split"]) == (2, "test")


def test_compare_with_captions_and_with_scores(folder, capsys):
    """The same comparison from another results file and from the scores that were written for it."""
    write("W.json", results(dict(reversed(WORSE.items()))))
    assert evaluate("--compare", "W.json") == 0
    against_captions = scores()["differences"]
    printed = capsys.readouterr().out
    assert "this minus W.json, paired by image" in printed
    assert main(["evaluate", "--results", "W.json", "--references", "A.json", "--out", "w.json"]) == 0
    assert evaluate("--compare", "w.json") == 0
    against_scores = scores()["differences"]
    assert against_scores["all"].keys() == against_captions["all"].keys() == {"B@1", "B@2", "B@3", "B@4", "R", "C"}
    worse = json.loads(Path("w.json").read_text())["scopes"]["all"]["metrics"]
    for name, found in against_captions["all"].items():
        assert found["difference"] == pytest.approx(scores()["scopes"]["all"]["metrics"][name] - worse[name])
        assert found["interval"][0] < found["difference"] < found["interval"][1]
        again = against_scores["all"][name]
        assert [again["difference"], *again["interval"]] == pytest.approx([found["difference"], *found["interval"]])


def test_a_file_compared_with_itself_differs_by_nothing(folder):
    write("D.json", dict.fromkeys("1234", "one"))
    assert evaluate("--compare", "R.json", "--by", "D.json") == 0
    for scope in ("all", "all/one"):
        assert scores()["differences"][scope]["C"] == {"difference": 0.0, "interval": [0.0, 0.0]}


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"R.json": results({9: "a"})}, [], "R.json: image 9 has no reference caption"),
        ({"R.json": [*results({2: "a"}), *results({2: "b"})]}, [], "R.json: image 2 has two captions"),
        ({"R.json": results({2: None})}, [], "R.json: the caption of image 2 (entry 0) is null, not a text"),
        ({"R.json": '[{"image_id": 1, "caption": "a d'}, [], "R.json: "),
        ({"A.json": '{"annotations": ['}, [], "A.json: is truncated"),
        ({"A.json": {"annotations": []}}, [], "A.json: has no reference captions"),
        ({}, ["--split", "test"], "A.json: is a COCO annotation file, which has no splits"),
        ({}, ["--metrics", "bleu,blue"], "--metrics: 'blue' is not a metric; choose among bleu,meteor"),
        ({}, ["--metrics", ""], "--metrics: names no metric"),
        ({}, ["--by", "none.json"], "none.json: the file does not exist"),
        ({"D.json": {"1": "x"}}, ["--by", "D.json"], "D.json: image 2 has no domain"),
        ({"D.json": {"1": 5}}, ["--by", "D.json"], "D.json: is not an object of image ids"),
        ({"O.json": results({1: "a"})}, ["--compare", "O.json"], "O.json: lacks image 2"),
        ({"O.json": {"a": 1}}, ["--compare", "O.json"], "O.json: holds neither captions nor scores"),
        (
            {"O.json": {"scopes": {}, "references_digest": "other"}},
            ["--compare", "O.json"],
            "O.json: was scored on other images or references",
        ),
        ({}, ["--out", "R.json"], "--out: would overwrite R.json"),
        ({}, ["--out", "."], ".: is a folder"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(folder, capsys, files, options, message):
    for name, value in files.items():
        write(name, value)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert evaluate(*options) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"rdt: error: {message}")
    assert printed.err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_scores_without_their_table_of_images(folder, capsys):
    assert evaluate() == 0
    Path("scores.json").rename("other.json")
    Path("scores.parquet").unlink()
    assert evaluate("--compare", "other.json") == 2
    assert "other.parquet: the file does not exist" in capsys.readouterr().err


def test_odd_captions_are_scored(folder):
    odd = {1: "", 2: "...", 3: "一只狗 🐕\n\t|||", 4: "ball " * 10_000}
    write("R.json", results(odd))
    assert evaluate(metrics="bleu,rouge,cider,diversity") == 0
    frame = pd.read_parquet("scores.parquet")
    # Words: the tokeniser makes three of ||| and none of a pictograph.
    assert frame["all/bleu/8"].tolist() == [0, 0, 4, 10_000]


def test_ids_that_are_texts(folder):
    write("R.json", results({"a": "a man", "b": "a dog"}))
    write("A.json", annotations({"a": ["one man"], "b": ["two dogs"]}))
    assert evaluate() == 0
    assert list(pd.read_parquet("scores.parquet")["image_id"]) == ["a", "b"]


def test_answers_are_kept_in_a_project_only(folder):
    """There they spare the METEOR process; elsewhere nothing is left behind."""
    assert evaluate(metrics="meteor") == 0
    first = Path("scores.json").read_bytes()
    assert not Path("results").exists()
    Path("results").mkdir()
    Path("Snakefile").touch()
    for _ in range(2):
        assert evaluate(metrics="meteor") == 0
        assert Path("scores.json").read_bytes() == first
    assert len(list(Path("results/cache/meteor").iterdir())) == 1


def test_scopes():
    assert scopes_of([3, 1], {}) == {"all": [3, 1]}
    assert scopes_of([3, 1, 2], {3: "b", 1: "a", 2: "b"}) == {"all": [3, 1, 2], "all/a": [1], "all/b": [3, 2]}


def test_diversity_by_hand():
    """Words a, red, ball, cube; bigrams `a red` and `red ball` among 3 + 3 + 2 words; one trigram; two captions."""
    with Scorer() as scorer:
        found = caption_diversity(
            ["a red ball", "A red ball.", "a cube"], [["a ball"], ["one red ball"], ["a box"]], scorer
        )
    assert found["D@2"] == pytest.approx(100 * 3 / 8)
    assert found["D@3"] == pytest.approx(100 * 1 / 8)
    assert found["words"] == 4
    assert found["of_reference_words"] == pytest.approx(100 * 3 / 5)  # a, red, ball of a, ball, one, red, box
    assert found["distinct_captions"] == pytest.approx(100 * 2 / 3)
    assert (found["mean_words"], found["mean_words_references"]) == (pytest.approx(8 / 3), pytest.approx(7 / 3))


def test_digest_knows_references_and_not_the_order_of_images():
    references = {1: ["a"], 2: ["b"], 3: ["c"]}
    assert references_digest([1, 2], references) == references_digest([2, 1], references)
    assert references_digest([1, 2], references) != references_digest([1, 3], references)


def test_scores_of_another_spice_and_of_other_domains_are_not_compared():
    """An earlier evaluation had another SPICE, and put image 2 into another domain."""
    captions, references = {1: "a man", 2: "two dogs", 3: "a ball"}, REFERENCES
    with Scorer() as scorer:
        now, before = (
            evaluate_systems([captions], references, dict(zip(captions, domains, strict=True)), ["rouge"], scorer)[0]
            for domains in ("xyx", "xxx")
        )
    for evaluation in (now, before):  # as if SPICE had run, with the same values
        evaluation.columns["all/S"] = evaluation.columns["all/R"]
        evaluation.statistics["all"]["S"] = evaluation.statistics["all"]["R"]
    columns = before.columns.set_axis(["1", "2", "3"], axis=0)
    now.document["spice"] = "SPICE"
    same = earlier_statistics(Earlier(columns, "SPICE"), now)
    assert {scope: set(numbers) for scope, numbers in same.items()} == {"all": {"R", "S"}}
    assert set(earlier_statistics(Earlier(columns, "SPICE-dp"), now)["all"]) == {"R"}


@pytest.mark.parametrize(
    ("numbers", "sign", "text"),
    [
        ((57.94, 56.0, 59.0), "", "57.9 [56.0, 59.0]"),
        ((1.0, -0.25, 2.0), "+", "+1.0 [-0.2, +2.0]"),
        ((3.0, None, None), "", "3.0"),
        ((-0.01, -1.0, 0.0), "", "0.0 [-1.0, 0.0]"),
    ],
)
def test_interval_text(numbers, sign, text):
    assert interval_text(*numbers, sign) == text


def test_help_teaches_with_an_example(capsys):
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--help"])
    assert end.value.code == 0
    assert "example:\n  rdt evaluate --results" in capsys.readouterr().out


# ---- what is to be said of scores


def notes_of(capsys) -> list[str]:
    """The notes of the document, which are on the terminal too."""
    found, printed = scores()["notes"], capsys.readouterr().out
    assert [line.removeprefix("note: ") for line in printed.splitlines() if line.startswith("note: ")] == found
    return found


def test_plain_scores_have_no_notes(folder, capsys):
    assert evaluate() == 0
    assert notes_of(capsys) == []


def test_cider_of_one_image_says_nothing(folder, capsys):
    write("R.json", results({1: REFERENCES[1][0]}))
    assert evaluate() == 0
    cider, intervals = notes_of(capsys)
    assert scores()["scopes"]["all"]["metrics"]["C"] == 0
    assert cider.startswith("CIDEr says nothing about one image (all)") and "fewer than 4 images (all)" in intervals
    assert evaluate(metrics="rouge") == 0
    assert len(notes_of(capsys)) == 1


def test_a_domain_of_one_and_an_image_without_a_domain(folder, capsys):
    document = annotations(REFERENCES, {1: "a", 2: "b", 3: "b", 4: ""})
    del document["images"][3]["domain"]
    write("A.json", document)
    assert evaluate() == 0
    assert {scope: part["n"] for scope, part in scores()["scopes"].items()} == {"all": 4, "all/a": 1, "all/b": 2}
    lacking, cider, intervals = notes_of(capsys)
    assert lacking.startswith("1 of 4 images has no domain: scored among all images")
    assert "(all/a)" in cider and "(all/a, all/b)" in intervals


def test_captions_that_vizwiz_leaves_out(folder, capsys):
    assert evaluate() == 0
    plain = scores()["scopes"]
    document = annotations(REFERENCES)
    for n, mark in enumerate(("is_rejected", "is_precanned", "is_rejected")):
        other = {"is_rejected": False, "is_precanned": False, mark: True}
        document["annotations"].append({"image_id": 1 + n, "caption": "quality issues are too severe", **other})
    write("A.json", document)
    capsys.readouterr()
    assert evaluate() == 0
    (left_out,) = notes_of(capsys)
    assert left_out == "A.json: 3 of 11 captions left out, marked is_rejected or is_precanned"
    assert scores()["scopes"] == plain


def test_intervals_stay_in_the_range_of_the_metric(folder, capsys):
    """By Student's quantile BLEU-1 of four images would reach to 130."""
    write(
        "R.json",
        results({1: "a man rides a bike", 2: "two dogs run in a park", 3: "a red ball on green grass", 4: "x y"}),
    )
    assert evaluate() == 0
    part = scores()["scopes"]["all"]
    for name, (low, high) in part["intervals"].items():
        assert 0 <= low <= part["metrics"][name] <= high <= (1000 if name == "C" else 100), name
    assert part["intervals"]["B@1"][1] == 100
    write("O.json", results({1: "a man", 2: "two dogs", 3: "x"}))
    write("R.json", results({1: "a man", 2: "two", 3: "a red ball"}))
    assert evaluate("--compare", "O.json") == 0
    assert scores()["differences"]["all"]["R"]["interval"] == [None, None]


def test_the_halves_of_an_emoji_count_and_do_not_score(folder, capsys):
    plain = "[" + ", ".join(json.dumps(row) for row in results(CAPTIONS)) + "]"
    assert evaluate() == 0
    expected = scores()["scopes"]
    write("R.json", plain.replace("a red ball", "a red ball\\ud83d"))
    capsys.readouterr()
    assert evaluate() == 0
    assert scores()["scopes"] == expected and pd.read_parquet("scores.parquet")["caption"][2] == "a red ball"
    assert notes_of(capsys) == ["R.json: 1 broken character left out, such as halves of an emoji"]


GERMAN = ["Ein Mann fährt mit dem Fahrrad durch die Stadt.", "Zwei Hunde spielen auf einer Wiese im Regen."]
TELUGU = ["ఒక మనిషి సైకిల్ తొక్కుతున్నాడు", "రెండు కుక్కలు ఆడుతున్నాయి"]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (GERMAN * 4, "only 0 % of the references' words are common ones of English"),
        (TELUGU * 4, "100 % of the references' letters are of another script"),
        (["A man with a café crème rides on a bike.", "Two dogs run in the park."] * 4, None),
        (["ein Hund"], None),  # two words say nothing
    ],
)
def test_metrics_that_are_made_for_english(texts, told):
    assert not_english(texts, ["B@1", "R", "C"]) == []
    found = not_english(texts, ["B@1", "M", "C", "S"])
    remedy = "name the language: --language, or metrics.language of an experiment"
    assert found == ([f"METEOR and SPICE are made for English, and {told}; {remedy}"] if told else [])
