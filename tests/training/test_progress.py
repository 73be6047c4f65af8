"""What a training says in a log, by a clock of the test's own."""

from __future__ import annotations

import pytest

from rdt.training import progress
from rdt.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds; a test moves them on."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_an_epoch_with_what_was_measured_and_the_time_left(clock, capsys):
    """Two epochs of 10 steps at 4 seconds a step, of which 5 were taken before: 10 steps are left after the first."""
    with Progress(2, 10, 5, speaks=True) as said:
        said.begin_epoch(0)
        for _ in range(5):
            clock[0] += 12
            said.step(1.5)
        said.end_epoch({"loss/total": 1.25, "loss/xe": 1.0, "val/C": 101.234})
    line = "epoch 1 of 2: loss 1.250, val/C 101.23; 10 of 20 steps, 0.1 a second, 2 minutes left\n"
    assert capsys.readouterr().err == line


def test_a_long_epoch_is_not_silent_for_more_than_five_minutes(clock, capsys):
    with Progress(1, 100, 0, speaks=True) as said:
        said.begin_epoch(0)
        for _ in range(40):
            clock[0] += 20
            said.step(2.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[1].split(" of")[0].strip() for line in lines] == ["16", "32"]


def test_another_process_says_nothing(clock, capsys):
    with Progress(1, 1, 0, speaks=False) as said:
        said.begin_epoch(0)
        clock[0] += 1000
        said.step(2.0)
        said.end_epoch({"loss/total": 2.0})
    assert capsys.readouterr().err == ""
