"""Digests, manifests and atomic files."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdt import digests
from rdt.errors import UserError
from rdt.files import atomic_file, atomic_folder, atomic_write_json, atomic_write_text, read_json
from rdt.provenance import code, manifest

SOURCES = {
    "__init__.py": "",
    "alpha.py": '"""Alpha."""\nimport rdt.beta\n\ndef f(x):\n    from rdt.pack import inner\n    return x + 1  # one\n',
    "beta.py": "import json\nfrom .gamma import g as h\n",
    "gamma.py": "def g():\n    return 3\n",
    "lonely.py": "x = 1\n",
    "errors.py": "message = 'a'\n",
    "pack/__init__.py": "from . import deep\n",
    "pack/inner.py": "from ..errors import message\n",
    "pack/deep.py": "y = 2\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package named rdt; returns a function that edits a file and gives the digest of a module."""
    for name, text in SOURCES.items():
        atomic_write_text(tmp_path / "rdt" / name, text)
    monkeypatch.setattr(code, "ROOT", tmp_path)

    def digest_after(name: str = "", text: str = "", module: str = "rdt.alpha") -> str:
        if name:
            (tmp_path / "rdt" / name).write_text(text)
        code.code_digest.cache_clear()
        code._parsed.cache_clear()
        return code.code_digest(module)

    yield digest_after
    code.code_digest.cache_clear()
    code._parsed.cache_clear()


@pytest.mark.parametrize("name", ["beta.py", "gamma.py", "pack/__init__.py", "pack/inner.py", "pack/deep.py"])
def test_code_digest_follows_every_import(package, name):
    before = package()
    assert package(name, SOURCES[name] + "z = 0\n") != before
    assert package(name, SOURCES[name]) == before


def test_code_digest_ignores_what_is_not_imported_and_what_cannot_change_a_result(package):
    before = package()
    assert package("lonely.py", "x = 2\n") == before
    assert package("errors.py", "message = 'b'\n") == before
    assert package(module="rdt.lonely") != before


def test_code_digest_ignores_comments_docstrings_and_formatting(package):
    before = package()
    body = '    "Adds."\n    from rdt.pack import inner\n    return (x+1)\n'
    same = '"""Other words."""\n\nimport rdt.beta\ndef f( x ):\n' + body
    assert package("alpha.py", same) == before
    assert package("alpha.py", same.replace("+1", "+2")) != before
    assert package("alpha.py", same.replace("(x+1)", "None")) != package("alpha.py", same.replace("(x+1)", ""))


def test_an_edit_of_a_template_counts_as_one_of_the_module_that_names_it(package, tmp_path):
    (tmp_path / "rdt/pack/page.md.jinja").write_text("{{ words }}")
    (tmp_path / "rdt/pack/other.md.jinja").write_text("")
    without = package("gamma.py", 'def g():\n    return "pack/none.md.jinja"\n')
    before = package("gamma.py", 'def g():\n    return "pack/page.md.jinja"\n')
    modules = code.code_modules("rdt.alpha")
    assert package("pack/other.md.jinja", "Other.") == before != without
    assert package("pack/page.md.jinja", "{{ words }}.") != before
    after = code.code_modules("rdt.alpha")
    assert [name for name in after if after[name] != modules[name]] == ["rdt.gamma"]


def test_a_module_is_parsed_once_for_all_processes_until_it_changes(package, monkeypatch):
    """What was found is kept beside the bytecode, by the content of the module."""
    before, read = package(), []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda source, *rest: read.append(source) or parse(source, *rest))
    assert package() == before and not read
    assert package("beta.py", SOURCES["beta.py"] + "z = 0\n") != before
    assert read == [SOURCES["beta.py"] + "z = 0\n"]


def test_code_modules_are_those_of_the_digest(package):
    package()
    modules = code.code_modules("rdt.alpha")
    assert list(modules) == ["rdt.alpha", "rdt.beta", "rdt.gamma", "rdt.pack", "rdt.pack.deep", "rdt.pack.inner"]
    lines = "".join(f"{name} {digest}\n" for name, digest in modules.items())
    assert code.code_digest("rdt.alpha") == hashlib.sha256(lines.encode()).hexdigest()
    package("gamma.py", "def g():\n    return 4\n")
    after = code.code_modules("rdt.alpha")
    assert [name for name in after if after[name] != modules[name]] == ["rdt.gamma"]


def test_code_digest_of_an_unknown_module_is_a_user_error(package):
    with pytest.raises(UserError, match="rdt.nothing: there is no such module"):
        package(module="rdt.nothing")


def test_code_digest_does_not_run_the_code():
    code = "import sys; from rdt.provenance.code import code_digest; code_digest('rdt.losses'); "
    code += "print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=digests.ROOT)
    assert out.stdout == "False\n"


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digests.file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UserError, match="b: cannot be read"):
        digests.file_digest(tmp_path / "b")


def test_tree_digest_sees_names_and_contents_but_not_manifests(tmp_path):
    atomic_write_text(tmp_path / "d/a.txt", "1")
    atomic_write_text(tmp_path / "d/sub/b.txt", "2")
    before = digests.tree_digest(tmp_path / "d")
    lines = [f"{name}\0{hashlib.sha256(text).hexdigest()}\n" for name, text in (("a.txt", b"1"), ("sub/b.txt", b"2"))]
    assert before == hashlib.sha256("".join(lines).encode()).hexdigest()
    atomic_write_text(tmp_path / "d/manifest.json", "{}")
    atomic_write_text(tmp_path / "d/a.txt.manifest.json", "{}")
    assert digests.tree_digest(tmp_path / "d") == before
    (tmp_path / "d/a.txt").rename(tmp_path / "d/c.txt")
    assert digests.tree_digest(tmp_path / "d") != before


def write(target: Path, inputs: dict[str, Path]) -> dict:
    manifest.write_manifest(
        target,
        command=["rdt", "train"],
        configuration={"lr": 0.1},
        code="rdt.files",
        inputs=inputs,
        seed=3,
        started=time.time() - 2,
        mlflow_run_id="abc",
        extra={"note": "x"},
    )
    return manifest.read_manifest(target)


def test_manifest_of_a_folder_and_of_one_that_uses_it(tmp_path):
    atomic_write_text(tmp_path / "data/a.txt", "1")
    first = write(tmp_path / "data", {})
    assert first["content"] == digests.tree_digest(tmp_path / "data")
    atomic_write_text(tmp_path / "captions/val.json", "[]")
    second = write(tmp_path / "captions/val.json", {"data": tmp_path / "data"})
    assert (tmp_path / "captions/val.json.manifest.json").is_file()
    assert second["content"] == digests.file_digest(tmp_path / "captions/val.json")
    assert second["inputs"] == {"data": {"path": (tmp_path / "data").as_posix(), "digest": first["content"]}}
    assert second["code"]["digest"] == code.code_digest("rdt.files")
    assert second["code"]["modules"] == {"rdt.files": code.code_modules("rdt.files")["rdt.files"][:12]}
    assert (first["files"], second["files"]) == ({"a.txt": digest_of(b"1")}, {"val.json": digest_of(b"[]")})
    assert (second["seed"], second["command"], second["configuration"]) == (3, ["rdt", "train"], {"lr": 0.1})
    assert (second["mlflow_run_id"], second["note"]) == ("abc", "x")
    assert (
        0 < second["cpu_seconds"] < 3600 and 2 <= second["wall_seconds"] < 10 and second["peak_memory_mb"]["self"] > 5
    )
    assert second["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert second["versions"]["numpy"] == __import__("numpy").__version__


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_manifest_of_some_files_of_shared_folders(tmp_path):
    """Here of one file in its folder and one beside it: a name stands for both."""
    for name in ("out/x/a.txt", "out/x/other.txt", "page.md"):
        atomic_write_text(tmp_path / name, name)
    target, files = tmp_path / "out/all", [tmp_path / "out/x/a.txt", tmp_path / "page.md"]
    manifest.write_manifest(
        target, command=[], configuration={}, code="rdt.files", inputs={}, seed=None, started=0, files=files
    )
    written = json.loads((tmp_path / "out/all.manifest.json").read_text())
    expected = [digest_of(b"out/x/a.txt"), digest_of(b"page.md")]
    assert written["files"] == dict(zip(("x/a.txt", "../page.md"), expected, strict=True))
    assert manifest.output_files(target, written) == dict(zip(files, expected, strict=True))
    assert written["content"] == digests.combined_digest(written["files"])
    assert written["content"] == digest_of("".join(f"{name}\0{d}\n" for name, d in written["files"].items()).encode())
    assert manifest.recorded_digest(target) == written["content"]


def test_an_output_of_no_files_is_a_user_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: nothing was written there"):
        write(tmp_path / "empty", {})


def test_an_input_without_a_manifest_is_read(tmp_path):
    atomic_write_text(tmp_path / "user.json", "[]")
    atomic_write_text(tmp_path / "out/a.txt", "1")
    recorded = write(tmp_path / "out", {"user": tmp_path / "user.json"})["inputs"]["user"]["digest"]
    assert recorded == hashlib.sha256(b"[]").hexdigest()


def test_a_missing_or_torn_manifest_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="manifest.json: the file does not exist"):
        manifest.read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"command": ["rdt"')
    with pytest.raises(UserError, match="manifest.json: is truncated.*line 1"):
        manifest.read_manifest(tmp_path)


def test_json_that_is_wrong_in_the_middle_is_not_called_truncated(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1 "b": 2}')
    with pytest.raises(UserError, match="is not valid JSON.*line 1, column 9"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b'"\xff"')
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_json(tmp_path / "b.json")


def test_atomic_file_keeps_the_old_content_when_writing_fails(tmp_path):
    path = tmp_path / "deep/a.json"
    atomic_write_json(path, {"b": "é", "a": 1})
    assert path.read_text() == '{\n  "b": "é",\n  "a": 1\n}\n'
    with pytest.raises(RuntimeError), atomic_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text())["a"] == 1 and os.listdir(path.parent) == ["a.json"]


def test_atomic_folder_replaces_all_or_nothing(tmp_path):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "out") as folder:
            (folder / f"{content}.txt").write_text(content)
    assert os.listdir(tmp_path / "out") == ["new.txt"]
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "out") as folder:
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path / "out") == ["new.txt"] and os.listdir(tmp_path) == ["out"]


def test_atomic_folder_removes_what_a_killed_writer_left(tmp_path):
    code = f"""
import os
from rdt.files import atomic_folder
with atomic_folder({str(tmp_path / "out")!r}) as folder:
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=digests.ROOT)
    assert not (tmp_path / "out").exists() and os.listdir(tmp_path)
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "whole.txt").write_text("whole")
    assert os.listdir(tmp_path / "out") == ["whole.txt"] and os.listdir(tmp_path) == ["out"]
