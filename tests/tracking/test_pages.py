"""What MLflow shows of a finished experiment: where, under which names, and that it is what the files say."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.tracking.places import experiments, network_places
from tests.support import tiny

BASE = "SCD-Net◇ (CVPR23) [9]"


@pytest.fixture(scope="module")
def delivered(finished, tmp_path_factory):
    """MLflow's client of a database that has got the records of the finished experiment, and the folder of that."""
    from mlflow import MlflowClient

    from rdt.tracking.sender import deliver

    paths = Paths(tiny.NAME, tmp_path_factory.mktemp("pages"))
    # The records alone: the files that they name lie where the experiment was made.
    shutil.copytree(finished / "results" / tiny.NAME / "tracking", paths.root / "tracking")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        deliver(paths)
    return MlflowClient(paths.mlflow_uri), finished / "results" / tiny.NAME


def runs(client, experiment: str) -> dict[str, object]:
    """The runs of an MLflow experiment by name."""
    found = client.get_experiment_by_name(f"rdt-{tiny.NAME} {experiment}")
    listed = client.search_runs([found.experiment_id])
    assert len({run.info.run_name for run in listed}) == len(listed)
    return {run.info.run_name: run for run in listed}


def artifacts(client, run, folder: str = "") -> set[str]:
    return {item.path for item in client.list_artifacts(run.info.run_id, folder)}


def leaves(value: object) -> int:
    return sum(map(leaves, value.values())) if isinstance(value, dict) else 1


@pytest.mark.slow
def test_each_table_has_a_run_for_each_network_of_its_rows(delivered):
    client, _ = delivered
    networks = {f"{row} · {stage} · s0" for row in ("RDT◇", BASE) for stage in ("xe", "rl")}
    teachers = {f"Transformer (teacher) · {stage} · s0" for stage in ("xe", "rl")}
    assert set(runs(client, "Table II")) == networks | teachers
    assert set(runs(client, "Table VII")) == networks  # the teacher is a row of Table II only
    steps = {"scenes", "vocabulary", "encoder", "features", "index", "probe", "score", "tables", "claims"}
    assert set(runs(client, "steps")) == {f"{step} primary" for step in steps}


@pytest.mark.slow
def test_a_network_has_its_tags_all_its_settings_and_its_curves(delivered):
    client, root = delivered
    run = runs(client, "Table VII")[f"{BASE} · rl · s0"]
    folder = root / "runs" / run.data.tags["run"] / "rl"
    manifest = json.loads((folder / "manifest.json").read_text())
    expected = {"table": "VII", "row": BASE, "tables": "II,VII", "seed": "0", "stage": "rl", "cascade": "1"}
    expected |= {"method": "paper", "kind": "captioner", "code": manifest["code"]["digest"]}
    assert expected.items() <= run.data.tags.items() and len(run.data.tags["data"]) == 12
    assert len(run.data.params) == leaves(manifest["configuration"])
    assert run.data.params["method.lambda_f"] == "1.0" and run.data.params["training.lr"] == "0.002"
    assert manifest["files"].keys() == {"model.safetensors", "raw.safetensors", "config.json", "curves.csv"}
    with (folder / "curves.csv").open() as file:
        epochs = list(csv.DictReader(file))
    names = {"loss/total", "loss/reward_sample", "learning_rate", "grad_norm", "val/CIDEr"}
    assert names < set(epochs[0])
    for name in names:
        history = client.get_metric_history(run.info.run_id, name)
        assert [point.value for point in history] == [float(epoch[name]) for epoch in epochs]
    rates = client.get_metric_history(run.info.run_id, "images_per_second")  # the file has none
    assert len(rates) == len(epochs) and min(point.value for point in rates) > 0
    points = client.get_metric_history(run.info.run_id, "step/loss/total")
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]  # of the one epoch: 24 images, 4 at a step
    mean = sum(point.value for point in points) / len(points)
    assert mean == pytest.approx(float(epochs[0]["loss/total"]), abs=1e-12)
    assert {"step/grad_norm", "step/learning_rate", "step/images_per_second"} < set(run.data.metrics)
    assert run.data.metrics["system/process_memory_megabytes"] > 50


@pytest.mark.slow
def test_a_network_has_its_data_its_card_its_captions_and_their_heatmaps(delivered, tmp_path):
    client, root = delivered
    run = runs(client, "Table II")["RDT◇ · xe · s0"]
    folder = root / "runs" / run.data.tags["run"] / "xe"
    assert {"model_card.md", "curves.csv"} < artifacts(client, run)
    assert artifacts(client, run, "samples") == {"samples/samples.md", "samples/heatmaps.jpg"}
    assert artifacts(client, run, "captions") == {"captions/manifest.json"}
    data = {(item.dataset.name, item.tags[0].value) for item in run.inputs.dataset_inputs}
    assert data >= {("tiny primary annotations", "train"), ("tiny primary features", "train")}
    card = Path(client.download_artifacts(run.info.run_id, "model_card.md", str(tmp_path))).read_text()
    size = sum(array.size for array in load_file(folder / "model.safetensors").values())
    assert "# RDT◇ · xe · s0" in card and f"| {size:,} parameters" in card
    scores = json.loads((root / "scores" / run.data.tags["run"] / "xe" / "primary-test.json").read_text())
    for name, value in scores["scopes"]["c5"]["metrics"].items():
        assert run.data.metrics[f"test/c5/{name.replace('@', '-')}"] == value
        assert f"| test/c5/{name} | {value:.1f} |" in card
    assert "test/" not in (folder / "model_card.md").read_text()  # beside the weights: what their training knew
    captions = json.loads((root / "captions" / run.data.tags["run"] / "xe" / "primary-test.json").read_text())
    shown = Path(client.download_artifacts(run.info.run_id, "samples/samples.md", str(tmp_path))).read_text()
    assert [f"- **caption**: {item['caption']}" for item in captions[:6]] == [
        line for line in shown.splitlines() if line.startswith("- **caption**")
    ]
    sheet = Image.open(client.download_artifacts(run.info.run_id, "samples/heatmaps.jpg", str(tmp_path)))
    first = json.loads((root / "data/primary/dataset.json").read_text())["images"]
    name = next(image["filename"] for image in first if image["split"] == "test")
    photo = Image.open(root / "data/primary/images" / name).convert("RGB").resize((224, 224))
    assert sheet.size == (6 * 224 + 5 * 6, 2 * 224 + 6)
    assert np.abs(np.asarray(sheet.crop((0, 0, 224, 224)), float) - np.asarray(photo, float)).mean() < 4


@pytest.mark.slow
def test_the_registered_model_is_the_captioner_with_the_best_val_score_of_each_phase(delivered, tmp_path):
    client, root = delivered
    for phase in ("xe", "rl"):
        best = client.get_model_version_by_alias(f"rdt-{tiny.NAME}", f"best-{phase}")
        configs = [json.loads(path.read_text()) for path in root.glob(f"runs/*/{phase}/config.json")]
        scores = {config["run"]: config["val_CIDEr"] for config in configs if config["kind"] == "captioner"}
        run = client.get_run(best.run_id)
        assert len(scores) == 2 and float(best.tags["score"]) == max(scores.values())
        assert scores[run.data.tags["run"]] == max(scores.values()) and run.data.tags["stage"] == phase
        copied = client.download_artifacts(best.run_id, "model/model.safetensors", str(tmp_path))
        weights = root / "runs" / run.data.tags["run"] / phase / "model.safetensors"
        assert Path(copied).read_bytes() == weights.read_bytes()


def test_networks_are_placed_by_the_rows_that_need_them():
    planned = plan(load_experiment("smoke"), load_tables())
    full = next(run for run in planned.runs.values() if run.id.startswith("rdt-s0"))
    where = {stage: [place.tags["table"] for place in network_places(planned, full, stage)] for stage in ("xe", "rl2")}
    assert where == {"xe": ["II", "III", "IV", "V", "VI", "VII", "VIII"], "rl2": ["II", "III", "VII"]}
    (place,) = (place for place in network_places(planned, full, "xe") if place.experiment == "Table VI")
    assert (place.name, place.tags["row"]) == ("λ_F=0.75, λ_E=0.55 · xe · s0", "λ_F=0.75, λ_E=0.55")
    other = next(run for run in planned.runs.values() if run.id.startswith("rdt-secondary"))
    (place,) = network_places(planned, other, "xe2")
    assert (place.experiment, place.name) == ("Table IV", "RDT◇ · secondary · xe2 · s0")


def test_a_teacher_that_is_no_row_is_shown_in_the_first_table_that_needs_it(tmp_path):
    content = tiny.settings() | {"tables": ["V", "VII"]}
    planned = plan(load_experiment(tiny.write(tmp_path, content)), load_tables())
    teacher = next(run for run in planned.runs.values() if run.kind == "teacher")
    assert [(place.experiment, place.name) for place in network_places(planned, teacher, "rl")] == [
        ("Table V", "Transformer (teacher) · rl · s0")
    ]
    assert list(experiments(planned, load_tables())) == ["Table V", "Table VII", "steps"]
