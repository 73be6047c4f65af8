"""What the ``inspect`` step says of a network, and the mean over images, units and seeds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rdt.provenance.steps import inspected
from rdt.scoring import inspection
from rdt.scoring.inspected import mean_over
from rdt.scoring.inspection import attention_spread, object_cells
from tests.support import tiny
from tests.training.test_training import captioner, split


def test_the_error_over_images_is_that_of_a_mean():
    """1, 2, 3, 6: standard deviation sqrt(14 / 3), by sqrt(4)."""
    found = mean_over([np.array([1.0, 2, 3, 6])], np.arange(4))
    assert found.value == 3 and found.image_error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert (found.images, found.seeds, found.seed_error) == (4, 1, None)


def test_twins_are_one_unit():
    """Pairs of means 1 and 5: two units, whose standard deviation sqrt(8) by sqrt(2) is 2."""
    found = mean_over([np.array([0.0, 5, 2, 5])], np.array([7, 9, 7, 9]))
    assert (found.value, found.images) == (3, 2) and found.image_error == pytest.approx(2)


def test_seeds_add_their_own_error():
    """Seeds of means 3 and 5: standard deviation sqrt(2), by sqrt(2); what images do to both alike stays theirs."""
    values = np.array([1.0, 2, 3, 6])
    found = mean_over([values, values + 2], np.arange(4))
    assert (found.value, found.seeds) == (4, 2) and found.seed_error == pytest.approx(1)
    assert found.image_error == pytest.approx(math.sqrt(14 / 3) / 2)


def test_one_unit_has_no_error_over_images():
    found = mean_over([np.array([1.0, 3])], np.array([4, 4]))
    assert (found.value, found.image_error, found.low) == (2, None, None)


def test_attention_on_objects_is_the_share_of_the_map_that_lies_on_their_cells():
    """All keys alike, so that objects on 7 and on 21 of 49 cells get 1/7 and 3/7."""
    model = captioner(lambda_f=1.0, lambda_e=0.0).eval()
    attention = model.visual.blocks[0].attention
    for part in (attention.qkv.weight, attention.qkv.bias):
        part.data[: attention.qkv.out_features // 3] = 0
    objects = np.zeros((2, 49), bool)
    objects[0, :7], objects[1, 20:41] = True, True
    found = attention_spread(model, split(images=2), 2, objects)
    assert np.allclose(found["cells"], [[49, 49]], atol=1e-3)
    assert np.allclose(found["on_objects"], [[1 / 7, 3 / 7]]) and np.allclose(found["objects"], [1 / 7, 3 / 7])
    found = attention_spread(model, split(images=2), 2, None)
    assert (found["on_objects"], found["objects"]) == (None, None)


def test_a_cell_with_a_kind_shows_an_object(tmp_path):
    kind = np.zeros((3, 7, 7), np.int8)
    kind[2, 1, 3] = 5
    np.savez(tmp_path / "layout.npz", image_id=np.array([10, 11, 12]), kind=kind)
    found = object_cells(tmp_path / "layout.npz", np.array([12, 10]))
    assert found.shape == (2, 49) and np.argwhere(found).tolist() == [[0, 7 + 3]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both networks of Table II after cross-entropy, with two visual encoders."""
    folder = tmp_path_factory.mktemp("inspected")
    tiny.prepare(folder)
    tiny.write(folder, tiny.settings(model={"visual_layers": 2}, training={"xe_epochs": 1}) | {"tables": ["II"]})
    for run, stage in inspected(tiny.opened(folder)[1]):
        assert tiny.rdt(folder, "train", f"{tiny.NAME}.yaml", "--run", run, "--stage", stage) == 0
    return folder


def test_the_command_writes_every_number_by_image(trained, monkeypatch):
    """Of six test images in three pairs of twins, which are units."""
    _, plan, paths = tiny.opened(trained)
    networks = inspected(plan)
    assert [network.stage for network in networks] == ["xe", "xe"]
    for run, stage in networks:
        assert tiny.rdt(trained, "inspect", f"{tiny.NAME}.yaml", "--run", run, "--stage", stage) == 0
        found = json.loads(paths.inspection(run, stage).read_text())
        assert (found["run"], found["stage"], found["seed"], len(found["images"])) == (run, "xe", 0, 6)
        assert len(set(found["units"])) == 3
        quality, attention = found["quality"], found["attention"]
        assert quality["timesteps"][0] == 0.05 and quality["timesteps"][-1] == 1
        assert len(quality["distances"]) == 20 and len(quality["slopes"]) == 6
        assert quality["slope"] == pytest.approx(np.mean(quality["slopes"]))
        assert np.shape(attention["cells"]) == np.shape(attention["on_objects"]) == (2, 6)
        assert (np.array(attention["cells"]) <= 49).all() and (np.array(attention["objects"]) > 0).all()
    first = paths.inspection(*networks[0]).read_bytes()
    monkeypatch.setattr(inspection, "MOST_IMAGES", 4)
    assert tiny.rdt(trained, "inspect", f"{tiny.NAME}.yaml", "--run", networks[0].run, "--stage", "xe") == 0
    few, whole = json.loads(paths.inspection(*networks[0]).read_text()), json.loads(first)
    assert few["images"] == whole["images"][:4]
    assert np.allclose(few["quality"]["slopes"], whole["quality"]["slopes"][:4], atol=1e-5)


def test_what_no_claim_looks_into_is_refused(trained, capsys):
    (run, _), *_ = inspected(tiny.opened(trained)[1])
    assert tiny.rdt(trained, "inspect", f"{tiny.NAME}.yaml", "--run", run, "--stage", "rl") == 2
    assert f"no claim looks into stage 'rl' of run {run}; choose one of {run}/xe, rdt-s0-" in capsys.readouterr().err
