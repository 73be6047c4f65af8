"""The changes of docs/changing.md, each made in a copy of the repository: what it touches, and that it works."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from safetensors import safe_open

from rdt.data.dataset import load_karpathy
from tests.support import tiny
from tests.support.finished import FILE, python
from tests.support.repository import REPOSITORY, copy_repository

PAGE = REPOSITORY / "docs" / "changing.md"
F1_MODULE = '''"""Overlap of words with the nearest reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def unigram_f1(caption: str, references: Sequence[str]) -> float:
    """Best F1 of words, in [0, 1], of a tokenised caption over its references."""
    return max(_f1(caption.split(), reference.split()) for reference in references)


def _f1(words: Sequence[str], others: Sequence[str]) -> float:
    common = (Counter(words) & Counter(others)).total()
    return 2 * common / max(1, len(words) + len(others))
'''
STRIDE = "_down(64, width)"  # the last halving of either tower
# By section of the page: each file with what is replaced in it; nothing is replaced in a new one.
CHANGES: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "A metric": {
        "rdt/metrics/unigram.py": (("", F1_MODULE),),
        "rdt/metrics/names.py": (
            ("rouge import rouge_l\n", "rouge import rouge_l\nfrom rdt.metrics.unigram import unigram_f1\n"),
            (
                '    Metric("S", "SPICE"',
                '    Metric("F1", "Unigram F1", "f1", unigram_f1),\n    Metric("S", "SPICE"',
            ),
        ),
        "experiments/tables.yaml": (
            ("metrics: [B@1, B@2, B@3, B@4, M, R, C, S]}\n  rows", "metrics: [B@1, B@4, F1]}\n  rows"),
        ),
    },
    "A loss switch": {
        "rdt/experiment/settings.py": (
            (
                '    select_on: Literal["val", "test"]\n',
                '    select_on: Literal["val", "test"]\n    absolute_bits: bool = False  # L_bit is mean |error|\n',
            ),
        ),
        "rdt/losses.py": (
            ("def bit_loss(bits: Tensor, target_bits: Tensor)", "def bit_loss(bits, target_bits, absolute=False)"),
            (
                "    return F.mse_loss(bits, target_bits)\n",
                "    return F.l1_loss(bits, target_bits) if absolute else F.mse_loss(bits, target_bits)\n",
            ),
        ),
        "rdt/training/xe.py": (
            ("bit_loss(bits, x_0[supervised])", "bit_loss(bits, x_0[supervised], method.absolute_bits)"),
        ),
    },
    "An encoder": {
        "rdt/features/two_tower.py": ((STRIDE, "_down(64, width, stride=1)"),),
        "rdt/experiment/settings.py": (("GRID_SIDE = 7 ", "GRID_SIDE = 14 "),),
    },
}
LAST = "    - {row: base + RVE + RL, run: {}}\n"
ROW = (LAST, LAST + "    - {row: base + absolute bits, run: {absolute_bits: true}}\n")
RUNS = (
    "import json; from rdt.experiment.file import load_experiment; from rdt.experiment.plan import load_tables, plan\n"
    f"print(json.dumps(list(plan(load_experiment({FILE!r}), load_tables()).runs)))"
)


def edit(folder: Path, name: str, *replaced: tuple[str, str]) -> None:
    path = folder / name
    content = path.read_text() if path.exists() else ""
    for old, new in replaced:
        assert old in content, f"{name} has no {old!r}"
        content = content.replace(old, new) if old else new
    path.write_text(content)


def change(folder: Path, section: str) -> None:
    for name, replaced in CHANGES[section].items():
        edit(folder, name, *replaced)


def run(folder: Path, command: str, *arguments: str) -> None:
    done = python(folder, "-m", "rdt", command, FILE, *arguments)
    assert done.returncode == 0, done.stderr


def runs(folder: Path) -> list[str]:
    done = python(folder, "-c", RUNS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the repository with the finished tiny experiment."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("section", CHANGES)
def test_the_page_names_the_files_of_a_change(section):
    """One at the head of each item of the section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"^- `([^`]+)`", text, re.MULTILINE)) == set(CHANGES[section])


@pytest.mark.slow
def test_a_metric_is_measured(copied):
    """Its cell is the mean over images of a formula written down here, and has an interval."""
    change(copied, "A metric")
    run(copied, "score", "--role", "primary")
    run(copied, "tables")
    reports, results = copied / "reports" / tiny.NAME, copied / "results" / tiny.NAME
    lines = csv.DictReader((reports / "tables" / "table_II.csv").open(encoding="utf-8", newline=""))
    (cell,) = (line for line in lines if (line["row"], line["column"]) == ("RDT◇", "rl/F1"))
    captions = json.loads((results / "captions" / cell["run"] / "primary-test.json").read_text())
    scenes = results / "data" / "primary"
    images = load_karpathy(scenes / "dataset.json", scenes / "images", "scenes").split("test")
    references = {image.id: [caption.raw for caption in image.captions[:5]] for image in images}

    def f1(caption: str, reference: str) -> float:
        ours, theirs = (Counter(re.findall(r"[a-z]+", text.lower())) for text in (caption, reference))
        return 200 * sum((ours & theirs).values()) / (sum(ours.values()) + sum(theirs.values()))

    said = [(entry["caption"], references[entry["image_id"]]) for entry in captions]
    wanted = fmean(max(f1(caption, text) for text in texts) for caption, texts in said)
    assert float(cell["ours"]) == pytest.approx(wanted, abs=1e-3) and wanted > 0
    assert float(cell["ci_low"]) < wanted < float(cell["ci_high"])
    assert "F1: Unigram F1" in (reports / "tables" / "table_II.md").read_text()


@pytest.mark.slow
def test_a_loss_switch_keeps_the_runs_that_do_not_use_it(copied):
    before = runs(copied)
    change(copied, "A loss switch")
    assert runs(copied) == before


@pytest.mark.slow
def test_a_row_with_a_loss_switch_trains(copied):
    """Its loss of the bits is the mean absolute error, which differs from the mean square of the row beside it."""
    change(copied, "A loss switch")
    edit(copied, "experiments/tables.yaml", ROW)
    tiny.write(copied, tiny.settings(training={"xe_epochs": 1}))
    (own,) = (name for name in runs(copied) if name.startswith("absolute_bits"))
    (usual,) = (name for name in runs(copied) if name.startswith("rdt-"))
    losses = []
    for name in (own, usual):
        run(copied, "train", "--run", name, "--stage", "xe")
        folder = copied / "results" / tiny.NAME / "runs" / name / "xe"
        losses.append(next(csv.DictReader((folder / "curves.csv").open()))["loss/bit"])
    assert 0 < float(losses[0]) != float(losses[1]) > 0


@pytest.mark.slow
def test_an_encoder_with_another_grid_makes_features_that_a_network_learns_from(tmp_path):
    """14 x 14 cells in place of 7 x 7, from the scenes' layout to the positions of the visual tokens."""
    copy_repository(tmp_path)
    change(tmp_path, "An encoder")
    tiny.write(tmp_path, tiny.settings(training={"xe_epochs": 1}))
    tiny.without_sending(tmp_path)
    for command in ("scenes", "vocabulary", "encoder", "features", "index"):
        run(tmp_path, command, *([] if command == "encoder" else ["--role", "primary"]))
    run(tmp_path, "probe")
    (name,) = (name for name in runs(tmp_path) if name.startswith("rdt-"))
    run(tmp_path, "train", "--run", name, "--stage", "xe")
    results = tmp_path / "results" / tiny.NAME
    assert np.load(results / "features" / "primary" / "grid.npy", mmap_mode="r").shape[1] == 196
    with safe_open(results / "runs" / name / "xe" / "model.safetensors", framework="numpy") as weights:
        assert weights.get_slice("visual.position").get_shape()[0] in (196, 197)
