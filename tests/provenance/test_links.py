"""Following digests from an output down: three outputs in a row, and a file that no step makes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rdt.provenance.links import BrokenLinkError, Walk, maker
from rdt.provenance.manifest import manifest_path, write_manifest


def make(target: Path, text: str, inputs: dict[str, Path], files: tuple[Path, ...] = ()) -> None:
    """One output with its manifest."""
    for path in files or (target,):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_manifest(
        target, command=[], configuration={}, code="rdt.files", inputs=inputs, seed=0, started=time.time(), files=files
    )


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """``user.json`` -> ``out/data/`` -> ``out/words.json`` -> the set ``out/scores/all`` of two files."""
    monkeypatch.chdir(tmp_path)
    Path("user.json").write_text("[]")
    Path("out/data").mkdir(parents=True)
    Path("out/data/a.txt").write_text("a")
    make(Path("out/data"), "b", {"user": Path("user.json")}, (Path("out/data/b.txt"),))
    make(Path("out/words.json"), "w", {"data": Path("out/data"), "part": Path("out/data/b.txt")})
    make(
        Path("out/scores/all"),
        "s",
        {"words": Path("out/words.json")},
        (Path("out/scores/x/one.json"), Path("out/scores/y/two.json")),
    )
    return tmp_path


def walk() -> Walk:
    found = Walk([Path("out")])
    found.follow(Path("out/scores/all"))
    return found


def test_a_whole_chain_is_read_once_and_counted(made):
    found = walk()
    assert found.files == 5  # two scores, the words, b.txt, the user's file; a.txt is nobody's output
    assert found.bytes == 6


@pytest.mark.parametrize(
    "name", ["out/scores/x/one.json", "out/scores/y/two.json", "out/words.json", "out/data/b.txt", "user.json"]
)
def test_one_changed_byte_is_named(made, name):
    Path(name).write_text("?")
    with pytest.raises(BrokenLinkError, match=rf"^{name}: .*recorded SHA-256") as caught:
        walk()
    assert caught.value.exit_code == 1
    Path(name).unlink()
    with pytest.raises(BrokenLinkError, match=f"^{name}: cannot be read: No such file"):
        walk()


def test_an_input_that_was_made_again_is_named_although_it_is_whole(made):
    make(Path("out/data"), "c", {"user": Path("user.json")}, (Path("out/data/b.txt"),))
    with pytest.raises(BrokenLinkError, match=r"^out/data: is not what out/words.json was made from"):
        walk()


def test_an_input_that_an_output_no_longer_has_is_named(made):
    manifest = json.loads(manifest_path("out/data").read_text())
    document = json.loads(manifest_path("out/words.json").read_text())
    document["inputs"]["part"]["path"] = "out/data/gone.txt"
    manifest_path("out/words.json").write_text(json.dumps(document))
    assert "gone.txt" not in manifest["files"]
    with pytest.raises(BrokenLinkError, match=r"^out/data/gone.txt: .*: no digest, recorded SHA-256"):
        walk()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text[:1], "is truncated"),
        (lambda text: "[]", "has no 'content'"),
        (lambda text: text.replace('"words.json"', '"word.json"'), "word.json: cannot be read"),
        (lambda text: text.replace('"content": "', '"content": "0'), "words.json: is not what out/scores/all was made"),
    ],
)
def test_a_changed_manifest_is_a_broken_link(made, change, told):
    path = manifest_path("out/words.json")
    path.write_text(change(path.read_text()))
    with pytest.raises(BrokenLinkError, match=told):
        walk()


def test_a_list_of_files_must_have_its_digest(made):
    path = manifest_path("out/scores/all")
    path.write_text(path.read_text().replace('"content": "', '"content": "0'))
    with pytest.raises(BrokenLinkError, match=r"^out/scores/all.manifest.json: its list of files"):
        walk()


def test_a_missing_manifest_is_a_broken_link(made):
    manifest_path("out/data").unlink()
    with pytest.raises(BrokenLinkError, match=r"^out/data/manifest.json: the file does not exist"):
        walk()


def test_only_wanted_inputs_are_followed(made):
    Path("out/data/b.txt").write_text("?")
    found = Walk([Path("out")], wanted=lambda target, name: target != Path("out/words.json"))
    found.follow(Path("out/scores/all"))
    assert found.files == 3


def test_the_maker_of_a_path(made):
    roots = [Path("out")]
    assert maker(Path("out/data"), roots) == maker(Path("out/data/b.txt"), roots) == Path("out/data")
    assert maker(Path("out/words.json"), roots) == Path("out/words.json")
    assert maker(Path("out/unknown.json"), roots) == Path("out/unknown.json")
    assert maker(Path("user.json"), roots) is None
