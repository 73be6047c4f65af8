"""Captions in other languages than English: their words, their scores and what is left out."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path

import pytest

from rdt.cli import main
from rdt.data.dataset import load_karpathy
from rdt.data.vocabulary import build_vocabulary
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.metrics.corpus import Scorer

# A caption of three words of which all are in the reference of four, so that BLEU-1 is exp(1 - 4/3), and a caption
# that is its reference. In the last column: words of the first caption.
LANGUAGES = {
    "de": ("Ein Hund läuft.", "Ein schwarzer Hund läuft!", "Zwei Mädchen, die spielen", ["ein", "hund", "läuft"]),
    "zh": ("一只狗", "一只黑狗。", "两个女孩在玩球", ["一", "只", "狗"]),
    "ja": ("犬と猫", "黒犬と猫。", "女の子がボールで遊ぶ", ["犬", "と", "猫"]),
    "ar": ("كلبٌ يركض سريعاً", "كلبٌ أسود يركض سريعاً.", "فتاتان تلعبان بالكرة", ["كلبٌ", "يركض", "سريعاً"]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_scores_of_another_language_need_no_java_and_leave_english_metrics_out(language, monkeypatch):
    monkeypatch.setattr("rdt.metrics.tokenizer.JavaProgram", None)
    monkeypatch.setattr("rdt.metrics.meteor.JavaProgram", None)
    caption, reference, same, words = LANGUAGES[language]
    with Scorer(language=language) as scorer:
        assert scorer.words([caption]) == [words] and scorer.spice is None
        scores = scorer.score({1: caption, 2: same}, {1: [reference], 2: [same]})
        assert set(scores.corpus) == {"B@1", "B@2", "B@3", "B@4", "R", "C"}
        assert scores.per_image["B@1"][0] == pytest.approx(100 * exp(1 - 4 / 3), rel=1e-6)
        assert scores.per_image["B@1"][1] == pytest.approx(100, rel=1e-6)
        # ROUGE-L: precision 1, recall 3/4, beta 1.2
        assert scores.per_image["R"][0] == pytest.approx(100 * (1 + 1.44) * 0.75 / (0.75 + 1.44))
        assert scorer.not_run() == {
            name: f"not run: {title} is made for English, and the captions are in another language ({language})"
            for name, title in (("M", "METEOR"), ("S", "SPICE"))
        }


def test_cider_of_chinese_by_hand():
    """Captions of one character: only 1-grams count, and each is in one of two documents, so CIDEr-D is 10 / 4."""
    with Scorer(language="zh") as scorer:
        scores = scorer.score({1: "狗", 2: "猫"}, {1: ["狗。"], 2: ["猫"]}, ["C"])
    assert scores.corpus["C"] == pytest.approx(250)


def test_rdt_evaluate_in_another_language(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("rdt.metrics.tokenizer.JavaProgram", None)
    monkeypatch.chdir(tmp_path)
    texts = {n: f"Ein Hund und {n} Katzen spielen im Garten" for n in range(4)}
    results = [{"image_id": n, "caption": text} for n, text in texts.items()]
    Path("r.json").write_text(json.dumps(results))
    Path("a.json").write_text(json.dumps({"annotations": results}))
    command = ["evaluate", "--results", "r.json", "--references", "a.json", "--out", "s.json"]
    main([*command, "--language", "de"])
    told, document = capsys.readouterr().out, json.loads(Path("s.json").read_text())
    assert document["language"] == "de" and document["scopes"]["all"]["metrics"]["B@1"] == pytest.approx(100)
    assert "M: not run: METEOR is made for English, and the captions are in another language (de)" in told
    assert "SPICE-dp" not in told and not [note for note in document["notes"] if "English" in note]
    assert main([*command, "--language", "deutsch"]) == 2
    assert "'deutsch' is not the code of a language" in capsys.readouterr().err
    assert main([*command[:-1], "t.json", "--compare", "s.json", "--metrics", "bleu"]) == 2
    assert "was scored as captions in the language de, not en" in capsys.readouterr().err


def test_the_language_of_an_experiment(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nbase: smoke\nmetrics: {language: ja}\n")
    assert load_experiment(path).metrics.language == "ja"
    path.write_text("name: mine\nbase: smoke\nmetrics: {language: Japanese}\n")
    with pytest.raises(UserError, match="metrics.language is 'Japanese', expected the code of a language"):
        load_experiment(path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_vocabulary_of_any_script(tmp_path, language):
    """Sentences without tokens, as texts."""
    caption, reference, same, words = LANGUAGES[language]
    splits = ("train", "val", "test")
    images = [
        {"filename": f"{n}.jpg", "imgid": n, "split": split, "sentences": [caption, caption]}
        for n, split in enumerate(splits)
    ]
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"images": images}, ensure_ascii=False), encoding="utf-8")
    dataset = load_karpathy(path, tmp_path, "own", pixels=False)
    vocabulary = build_vocabulary((c.tokens for image in dataset.split("train") for c in image.captions), 2)
    assert vocabulary.words == (".", *words, "UNK")
    vocabulary.save(tmp_path / "v.json")
    assert type(vocabulary).load(tmp_path / "v.json") == vocabulary
    assert vocabulary.decode(vocabulary.encode(words)) == " ".join(words)
