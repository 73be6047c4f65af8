"""Tokens against those of pycocoevalcap's own tokeniser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pycocoevalcap.tokenizer import ptbtokenizer
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from rdt.metrics.java import java
from rdt.metrics.tokenizer import PUNCTUATION, Tokenizer

ODD = [
    "A red, large ball -- isn't it?",
    "Two (2) dogs; one 'big' cat.",
    "café 3.5 U.S.A. o'clock",
    "23 3/4 St and 1 1/2 cups",  # a space inside a token
    "a\ndog\nruns",
    "a dog\ton   a  mat ",
    "a ||| b |||| c | d",
    "...!? -- ''",
    "",
    "   ",
    "一只狗 в парке كلب",
    "\u00a0no\u00a0break\u2003wide",
    "bell\x07 null\x00 del\x7f next\x85line soft\u00adhyphen",
    "<b>bold</b> &amp; http://a.b/c?d=e #tag @me 😀 ½",
    "\"quoted\" ``so'' “curly” ‘single’",
    "can't cannot gonna d'ye '90s rock'n'roll",
    "word " * 300,
    "A cat on a letter K.",
    "The end, p.",
    "1st Ave. and no.",
    "12 things",
    "shown in fig.",
    "   ",
    "3 men",
    "A black X.",
]


@pytest.fixture
def theirs(monkeypatch):
    """pycocoevalcap's tokens of a document."""
    folder = Path(ptbtokenizer.__file__).parent
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} is read-only, and pycocoevalcap writes there")
    monkeypatch.setenv("PATH", f"{Path(java()).parent}{os.pathsep}{os.environ['PATH']}")

    def tokens(texts: list[str]) -> list[str]:
        found = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
        return [found[i][0] for i in range(len(texts))]

    return tokens


def test_tokens_are_those_of_the_coco_tools(theirs):
    assert Tokenizer().tokens(ODD) == theirs(ODD)


def test_punctuation_is_that_of_the_coco_tools():
    assert set(ptbtokenizer.PUNCTUATIONS) == PUNCTUATION


def test_a_text_that_ends_in_an_initial_is_read_with_the_next(theirs):
    """Several documents that differ only in what follows, and one tokeniser that remembers."""
    followers = ["A dog", "a dog", "The dog", "Two dogs", "12 dogs", "...", "\u00a0", "It is"]
    tokenizer = Tokenizer()
    for follower in followers:
        document = ["a letter K.", follower, "see fig.", follower, "no. ", "", follower, "the U.S.", follower, "x."]
        assert tokenizer.tokens(document) == theirs(document), follower
    assert tokenizer.tokens(["a letter K.", "A dog"]) != tokenizer.tokens(["a letter K.", "a dog"])


def test_line_breaks_of_every_kind_are_spaces():
    """pycocoevalcap takes care of line feeds only; the others would shift its captions to other images."""
    breaks = ["\n", "\r", "\r\n", "\v", "\f", "\u2028", "\u2029"]
    assert Tokenizer().tokens([f"a{one}dog" for one in breaks] + ["a cat"]) == ["a dog"] * len(breaks) + ["a cat"]


def test_half_a_surrogate_pair_is_no_text():
    assert Tokenizer().tokens(["\ud800 a cow \udfff"]) == ["a cow"]


def test_many_documents_in_one_call_are_then_only_looked_up(monkeypatch):
    tokenizer = Tokenizer()
    tokenizer.prepare([["A dog.", "a letter K."], ["a letter K.", "The cat"]])
    monkeypatch.setattr("rdt.metrics.tokenizer.JavaProgram", None)
    assert tokenizer.tokens(["a letter K.", "The cat"]) == ["a letter k", "the cat"]
    assert tokenizer.tokens(["A dog.", "A dog.", "a letter K."]) == ["a dog", "a dog", "a letter k."]
    assert tokenizer.tokens([]) == []
