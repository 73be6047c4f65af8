"""``rdt verify`` on a finished experiment: nothing is broken, until one byte of one file is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rdt.data.dataset import load_karpathy
from rdt.data.published import CHECKSUMS, PUBLISHED, read_checksums
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.plan import Plan, find_cell
from rdt.experiment.runs import NetworkId
from rdt.metrics.corpus import Scorer
from rdt.metrics.names import CHEAP
from rdt.provenance.links import BrokenLinkError
from rdt.scoring.recompute import CaptionSet, Recomputer, caption_sets, check_table
from rdt.scoring.references import Targets
from tests.support import finished as suite
from tests.support import tiny

ROOT = f"results/{tiny.NAME}"
TABLES = f"reports/{tiny.NAME}/tables"
CELL = "VII/RDT◇/D@3"


def opened(folder: Path):
    return tiny.opened(folder)


def rdt_run(folder: Path) -> str:
    return tiny.run_id(tiny.opened(folder)[1], "rdt")


def tampered_files(folder: Path) -> list[str]:
    """One file of each kind along the chain of :data:`CELL`, the cell's own network."""
    run = rdt_run(folder)
    return [
        "reports/published/table_VII.csv",
        f"{TABLES}/table_VII.csv",
        f"reports/{tiny.NAME}/README.md",
        f"{ROOT}/scores/{run}/rl/primary-test.json",
        f"{ROOT}/scores/{run}/rl/primary-test.parquet",
        f"{ROOT}/captions/{run}/rl/primary-test.json",
        f"{ROOT}/captions/{run}/rl/primary-test-draw3.json",
        f"{ROOT}/runs/{run}/rl/model.safetensors",
        f"{ROOT}/runs/{run}/xe/raw.safetensors",
        f"{ROOT}/features/primary/grid.npy",
        f"{ROOT}/index/primary/retrieved.npz",
        f"{ROOT}/encoder/model.safetensors",
        f"{ROOT}/encoder/probe.json",
        f"{ROOT}/vocabulary/primary.json",
        f"{ROOT}/data/primary/dataset.json",
        f"{ROOT}/data/primary/images/000003.jpg",
    ]


@pytest.mark.slow
def test_one_changed_byte_of_any_file_is_named(finished):
    files = tampered_files(finished)
    answers = suite.verify_tampered(finished, ["", *files], CELL)
    assert answers.pop("")[0] == 0
    for name, (status, told) in answers.items():
        assert status == 1 and told.startswith(f"rdt: error: {name}: ") and told.count("\n") == 1, (name, told)


@pytest.mark.slow
def test_all_cells_are_verified_and_any_file_of_them_named(finished):
    _, planned, _ = opened(finished)
    base, teacher = (tiny.run_id(planned, start) for start in ("lambda_f1-lambda_e0-lambda_rank0", "teacher"))
    files = [
        f"{ROOT}/captions/{base}/rl/primary-test.json",
        f"{ROOT}/captions/{rdt_run(finished)}/xe@T1/primary-test.json",
        f"{ROOT}/captions/{teacher}/rl/primary-train.json",
        f"{ROOT}/scores/baselines/primary-test.json",
        f"reports/{tiny.NAME}/claims.md",
        "reports/claims.yaml",
    ]
    answers = suite.verify_tampered(finished, ["", *files])
    status, told = answers.pop("")
    measured = [cell for cell in planned.cells if cell.runs]
    assert status == 0 and f"Tables II, VII: {len(measured)}\n" in told
    assert "M: known by digest only" in told and "S: known by digest only" in told
    for name, (status, told) in answers.items():
        assert status == 1 and told.startswith(f"rdt: error: {name}: "), (name, told)


@pytest.mark.slow
def test_another_networks_files_do_not_matter_to_a_cell(finished):
    base = tiny.run_id(opened(finished)[1], "lambda_f1-lambda_e0-lambda_rank0")
    files = [f"{ROOT}/captions/{base}/rl/primary-test.json", "reports/published/table_II.csv"]
    assert all(status == 0 for status, _ in suite.verify_tampered(finished, files, CELL).values())


@pytest.mark.slow
def test_what_is_broken_is_removed_and_made_again(finished, tmp_path):
    """A caption, a weight and a table are altered: snakemake alone would not see it."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    run = rdt_run(copy)
    captions, weights = f"{ROOT}/captions/{run}/rl/primary-test.json", f"{ROOT}/runs/{run}/rl/model.safetensors"
    for name in (captions, weights, f"{TABLES}/table_VII.csv"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    assert "is not the one that was made" in suite.rdt(copy, "why", captions).stdout
    refused = suite.python(copy, "-m", "rdt", "captions", suite.FILE, "--run", run, "--stage", "rl")
    assert refused.returncode == 2 and f"{weights}: is not the file that was made" in refused.stderr
    repaired = suite.rdt(copy, "verify", "--repair")
    assert repaired.returncode == 0, repaired.stderr
    gone = [name for name in (captions, weights, f"{TABLES}/table_VII.csv") if not (copy / name).exists()]
    assert len(gone) == 3 == repaired.stdout.count("removed ")
    planned = suite.python(copy, "-m", "snakemake", "-n", "--quiet", "host", "--config", f"experiment={suite.FILE}")
    assert f"train {run} rl" in planned.stdout + planned.stderr
    assert suite.rdt(copy, "verify").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("II/RDT◇/xe/M", "computed again from the captions: 1\n"),
        ("II/SCD-Net (CVPR23) [9]/xe/C", "quoted from published/table_II.csv, as recorded\n"),
    ],
)
def test_meteor_is_computed_for_a_named_cell_and_a_quoted_cell_is_the_papers(finished, cell, told):
    done = suite.rdt(finished, "verify", cell)
    assert done.returncode == 0 and told in done.stdout, done.stderr


@pytest.mark.slow
def test_an_unknown_cell_is_a_users_mistake(finished):
    done = suite.rdt(finished, "verify", "II/RDT/xe/C")
    assert done.returncode == 2
    assert done.stderr.startswith("rdt: error: CELL: 'II/RDT/xe/C' is no cell of experiment tiny; did you mean II/RDT◇")


def test_the_nearest_cells_are_named(prepared):
    planned: Plan = opened(prepared)[1]
    with pytest.raises(UserError, match="did you mean V/base/B@[14] or V/base/"):
        find_cell(planned, "V/base/B@9")
    with pytest.raises(UserError, match="its tables are V$"):
        find_cell(planned, "###")


def test_the_papers_numbers_are_the_recorded_ones():
    """After a correction of the transcription: ``cd reports/published && sha256sum *.csv > SHA256SUMS``."""
    import hashlib

    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in PUBLISHED.glob("*.csv")}
    assert read_checksums() == found and len(found) == 7


def test_damaged_checksums_are_a_user_error(tmp_path):
    (tmp_path / CHECKSUMS).write_text("0123\n")
    with pytest.raises(UserError, match=f"{CHECKSUMS}: cannot be read"):
        read_checksums(tmp_path)


# ---- numbers, where all digests fit


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture
def recompute(copied, monkeypatch):
    """Recompute the cheap numbers of the RDT in Tables II and VII; the number of scores that were computed."""
    _, planned, paths = opened(copied)
    dataset = load_karpathy(paths.scenes("primary") / "dataset.json", paths.scenes("primary") / "images", "scenes")
    words = Vocabulary.load(paths.vocabulary("primary"))
    network = CaptionSet(NetworkId(rdt_run(copied), "rl"), "primary", "test")

    def again() -> int:
        with Scorer() as scorer:
            recomputer = Recomputer(paths, Targets("primary", "test", dataset.split("test")), scorer)
            return recomputer.check(network, caption_sets(planned.cells)[network], CHEAP, words)

    return again


@pytest.mark.slow
def test_scores_that_are_not_those_of_the_captions_are_named(copied, recompute):
    assert recompute() == 6 + 3  # BLEU-1..4, ROUGE-L, CIDEr; Dist-2, Dist-3 and Voc-u
    path = opened(copied)[2].scores(rdt_run(copied), "rl", "primary", "test")
    whole = path.read_text()
    for place in (("scopes", "c5", "metrics", "C"), ("diversity", "mean", "D@2")):
        document = json.loads(whole)
        part = document
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] += 1e-4
        path.write_text(json.dumps(document))
        with pytest.raises(BrokenLinkError, match=rf"primary-test.json: c5 {place[-1]} is .* but its captions score"):
            recompute()
    path.write_text(whole)


@pytest.mark.slow
def test_a_table_that_is_not_that_of_the_scores_is_named(copied):
    _, planned, paths = opened(copied)
    cells = [cell for cell in planned.cells if cell.table == "II"]
    check_table(planned, paths, "II", cells)
    path = paths.tables / "table_II.csv"
    lines = path.read_text().splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.startswith("II,RDT◇,rl/C,"))
    for field, value in ((3, "1.0"), (4, "99.9999"), (9, "another-run/rl")):
        fields = lines[at].rstrip("\n").split(",")
        fields[field] = value
        path.write_text("".join([*lines[:at], ",".join(fields) + "\n", *lines[at + 1 :]]))
        with pytest.raises(BrokenLinkError, match=r"table_II.csv: row RDT◇, column rl/C: "):
            check_table(planned, paths, "II", cells)
    path.write_text("".join(lines[:at] + lines[at + 1 :]))
    with pytest.raises(BrokenLinkError, match=r"column rl/C: "):
        check_table(planned, paths, "II", cells)
    path.write_text("".join(lines))
