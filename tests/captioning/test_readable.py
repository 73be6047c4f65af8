"""What rdt check finds in the features of an experiment's own data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rdt.captioning import readable
from rdt.cli import main
from tests.support import fuzz, tiny


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A folder with an experiment on eight images of its own."""
    fuzz.valid(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check() -> int:
    return main(["check", f"{tiny.NAME}.yaml"])


def test_features_of_the_last_image(own, capsys, monkeypatch):
    np.savez(own / "captions/7.npz", g_feature=np.zeros((4, 6)))
    assert check() == 2
    assert "captions/7.npz: vector 1 of 4 has length 0, and so no direction" in capsys.readouterr().err
    monkeypatch.setattr(readable, "IMAGES_TO_JUDGE", 4)  # every second image is read
    assert check() == 0


def test_features_that_two_namings_fit(own, capsys):
    """Images 0 to 7 are photographs 0 to 7, until they are numbered anew."""
    assert check() == 0
    document = json.loads((own / "dataset.json").read_text())
    for image in document["images"]:
        image["imgid"] = 7 - image["imgid"]
    (own / "dataset.json").write_text(json.dumps(document))
    assert check() == 2
    told = capsys.readouterr().err
    assert "by image id (7 for photo_0.jpg) and of 8 of 8 images by the number in the photograph's name (0 for" in told
    assert "features_named_by: id or number" in told


def test_what_is_left_out_is_told(own, capsys):
    document = json.loads((own / "dataset.json").read_text())
    document["images"][0]["sentences"] = []
    (own / "dataset.json").write_text(json.dumps(document))
    assert check() == 0
    told = capsys.readouterr().out
    assert "primary: 7 images" in told and "note: dataset.json: 1 image without captions left out" in told
