"""How the paper is read: what the list must say, and that its switches are settings of the method."""

from __future__ import annotations

from dataclasses import fields

import pytest

from rdt.errors import UserError
from rdt.experiment.file import experiment_names
from rdt.experiment.readings import read_readings
from rdt.experiment.settings import Method

READINGS = {reading.what: reading for reading in read_readings()}


def test_switches_are_settings():
    switches = {reading.switch for reading in READINGS.values()} - {""}
    assert switches <= {field.name for field in fields(Method)}
    assert len(READINGS) == len(read_readings()) and "readings" not in experiment_names()


def test_what_a_reader_must_know_is_said():
    """Where the code does otherwise than a sentence of the paper, or where the paper has no such sentence."""
    assert "5 ground-truth captions" in READINGS["sentences retrieved in training"].paper
    assert READINGS["sentences retrieved in training"].here == "5 drawn from the top 20"
    assert "Flickr30k's own" in READINGS["pool of retrieved sentences"].here
    assert READINGS["the teacher's caption among the N_y of Eq. 14"].switch == "guide_cascade"
    assert "a mean over tokens and bits" in READINGS["L_bit (Eq. 2)"].here
    assert "a mean over the tokens" in READINGS["Eq. 14"].here
    assert "the raw weights" in READINGS["start"].here
    assert "softmax" in READINGS["predicted x_0"].here and "cosine" in READINGS["noise schedule γ"].here
    assert "no ranking encoder, no retrieved sentence" in READINGS["teacher"].here
    assert READINGS["length of a caption"].paper == "silent"
    assert "the last too" in READINGS["noise of the sampler"].paper


def test_a_wrong_entry_is_named(tmp_path):
    path = tmp_path / "readings.yaml"
    path.write_text("- {what: a, paper: b}\n")
    with pytest.raises(UserError, match="entry 0.here is missing"):
        read_readings(path)
