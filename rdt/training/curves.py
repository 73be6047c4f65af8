"""Curves within the epochs."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence

RATE = "images_per_second"
POINTS = 100  # at most, of a training: enough to see its course, few enough to send


class Curve:
    """The course of one epoch, in means over the steps between two points.

    ``steps`` of the whole training, ``images_per_step``; ``sums`` over the epoch's first ``done`` steps, which a
    training that is taken up again has behind it.
    """

    def __init__(self, steps: int, images_per_step: int, sums: Mapping[str, float], done: int) -> None:
        self.every = -(-steps // POINTS)
        self.images_per_step = images_per_step
        self._begin(sums, done)

    def _begin(self, sums: Mapping[str, float], done: int) -> None:
        self._sums, self._done, self._time = dict(sums), done, time.monotonic()

    def point(self, sums: Mapping[str, float], done: int) -> dict[str, float]:
        """Means since the last point where one is due after ``done`` steps of the epoch, else nothing."""
        if done % self.every:
            return {}
        steps, seconds = done - self._done, time.monotonic() - self._time
        record = {_name(name): (total - self._sums.get(name, 0.0)) / steps for name, total in sums.items()}
        self._begin(sums, done)
        return record | {f"step/{RATE}": steps * self.images_per_step / seconds}


def _name(name: str) -> str:
    return f"step/{name}" if name == "grad_norm" else f"step/loss/{name}"


def curves(history: Sequence[Mapping[str, float]]) -> str:
    """The records of the epochs as CSV; a value that an epoch does not have is left empty.

    The rate stays out: it differs between identical trainings, and the file's digest must not.
    """
    columns = list(dict.fromkeys(name for record in history for name in record if name != RATE))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
