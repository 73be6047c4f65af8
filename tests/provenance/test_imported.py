"""Results that come in a crate: used without what made them, and refused where they are not what they say."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from rdt.digests import combined_digest
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.provenance.imported import import_crate, imported
from tests.support import finished as suite
from tests.support import tiny
from tests.support.repository import copy_repository

PATHS = Paths("mine")
SHA = {  # of the two texts, by sha256sum
    "one": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    "two": "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def manifest(**files: str) -> str:
    digests = {f"{name}.json": SHA[text] for name, text in files.items()}
    return json.dumps({"files": digests, "content": combined_digest(digests), "inputs": {}, "configuration": {}})


def crate(files: dict[str, str]) -> Path:
    """A zip of texts by their names."""
    path = Path("crate.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_an_output_is_taken_with_the_files_that_the_crate_has(here):
    path = crate(
        {
            "results/mine/captions/a/xe/manifest.json": manifest(x="one", left_out="two"),
            "results/mine/captions/a/xe/x.json": "one",
            "results/other/x.json": "one",
            "rdt/cli.json": "two",
        }
    )
    taken = import_crate(path, PATHS)
    assert taken.new == (Path("results/mine/captions/a/xe"),)
    files = sorted(str(path) for path in Path("results").rglob("*") if path.is_file())
    folder = "results/mine/captions/a/xe"
    assert files == [f"{folder}/manifest.json", f"{folder}/x.json", "results/mine/imported.json"]
    assert imported(PATHS) == {Path(folder): "crate.zip"}
    assert import_crate(path, PATHS).same == taken.new  # a second time there is nothing to take


def test_what_is_here_already_is_kept():
    ours = Path("results/mine/runs/a/xe")
    ours.mkdir(parents=True)
    (ours / "manifest.json").write_text(manifest(x="two"))
    (ours / "x.json").write_text("two")
    """Its captions are not taken either, nor scores that were made from both."""
    theirs = ("runs/a/xe", "captions/a/xe", "captions/b/xe", "scores/primary-test")
    path = crate({f"results/mine/{name}/manifest.json": manifest(x="one") for name in theirs})
    taken = import_crate(path, PATHS)
    assert (taken.new, taken.same, taken.kept) == ((Path("results/mine/captions/b/xe"),), (), (ours,))
    assert (ours / "x.json").read_text() == "two"


def test_networks_on_other_features_are_refused():
    ours = Path("results/mine/features/primary")
    ours.mkdir(parents=True)
    (ours / "manifest.json").write_text(manifest(x="two"))
    path = crate(
        {
            "results/mine/features/primary/manifest.json": manifest(x="one"),
            "results/mine/runs/a/xe/manifest.json": manifest(x="one"),
        }
    )
    with pytest.raises(UserError, match="learnt from another results/mine/features/primary than is here"):
        import_crate(path, PATHS)
    assert not Path("results/mine/runs").exists()


def test_a_changed_byte_is_refused_before_anything_is_written():
    path = crate(
        {
            "results/mine/captions/b/xe/manifest.json": manifest(x="two"),
            "results/mine/captions/b/xe/x.json": "two",
            "results/mine/scores/a/xe/manifest.json": manifest(x="one"),
            "results/mine/scores/a/xe/x.json": "onf",
        }
    )
    with pytest.raises(UserError, match=r"holds a results/mine/scores/a/xe/x.json that is not the one"):
        import_crate(path, PATHS)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "name", ["../out.json", "results/mine/../../out.json", "/tmp/out.json", "results\\..\\out.json"]
)
def test_a_path_that_leads_out_is_refused(name):
    path = crate({name: "one", "results/mine/a/manifest.json": manifest(x="one")})
    with pytest.raises(UserError, match="which leads out of it"):
        import_crate(path, PATHS)
    assert [one.name for one in Path().iterdir()] == ["crate.zip"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x89PNG"])
def test_what_is_no_crate_is_told(content):
    Path("crate.zip").write_bytes(content)
    with pytest.raises(UserError, match="is not a crate"):
        import_crate(Path("crate.zip"), PATHS)


def test_a_crate_of_another_experiment_is_told():
    with pytest.raises(UserError, match="has no results of experiment mine; name its experiment"):
        import_crate(crate({"results/other/a/manifest.json": manifest(x="one")}), PATHS)


@pytest.mark.slow
def test_tables_claims_and_report_come_from_a_crate_without_training(finished, tmp_path):
    done = suite.rdt(finished, "export", "--crate", str(tmp_path / "out.zip"))
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "copy"
    copy_repository(copy)
    shutil.copy(finished / suite.FILE, copy)
    assert suite.rdt(copy, "import", str(tmp_path / "out.zip")).returncode == 0
    assert not list(copy.glob("results/*/runs/*/*/*.safetensors"))
    wanted = ("tables", "claims", "report", "--config", f"experiment={suite.FILE}")
    made = suite.python(copy, "-m", "snakemake", "--cores", "2", *wanted)
    assert made.returncode == 0, made.stdout + made.stderr
    assert f"Report: reports/{tiny.NAME}/report.html\n" in made.stdout
    for name in ("tables/table_II.csv", "tables/table_VII.md", "claims.csv"):
        ours, theirs = (folder / "reports" / tiny.NAME / name for folder in (copy, finished))
        assert ours.read_bytes() == theirs.read_bytes()
    told = suite.rdt(copy, "verify")
    assert told.returncode == 0 and "known by their digest alone" in told.stdout
    assert "up to date" in suite.rdt(copy, "why", "tables").stdout
    captions = next(copy.glob("results/*/captions/rdt-*/xe/primary-test.json"))
    captions.write_bytes(captions.read_bytes().replace(b"a", b"e", 1))
    broken = suite.rdt(copy, "verify")
    assert broken.returncode == 1 and captions.name in broken.stderr
