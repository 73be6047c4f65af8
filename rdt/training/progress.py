"""What a training says while it goes on: a bar on a terminal; in a log a line an epoch, and one every five minutes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

SILENCE = 300  # seconds


class Progress:
    """Steps, loss, rate and time left of a training of ``epochs`` with ``steps`` each, of which ``done`` are taken.

    Nothing is said where another process speaks (``speaks``).
    """

    def __init__(self, epochs: int, steps: int, done: int, speaks: bool) -> None:
        self._epochs, self._total, self._begun_with = epochs, epochs * steps, done
        self._done, self._epoch = done, done // steps
        self._bar = tqdm(
            total=self._total, initial=done, unit=" steps", mininterval=1, disable=None if speaks else True
        )
        self._writes = speaks and self._bar.disable
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def begin_epoch(self, epoch: int) -> None:
        """Name the epoch, from 0."""
        self._epoch = epoch
        self._bar.set_description(f"epoch {epoch + 1} of {self._epochs}", refresh=False)

    def step(self, loss: float) -> None:
        """One more step is taken; ``loss`` is the mean of its epoch so far."""
        self._done += 1
        self._bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self._bar.update()
        if self._writes and time.monotonic() - self._said > SILENCE:
            self._write(f"loss {loss:.3f}")

    def end_epoch(self, record: Mapping[str, float]) -> None:
        """Tell the mean loss of an epoch, and what was measured after it."""
        if self._writes:
            measured = [f"{name} {value:.2f}" for name, value in record.items() if name.startswith("val/")]
            self._write(", ".join([f"loss {record['loss/total']:.3f}", *measured]))

    def _write(self, said: str) -> None:
        self._said = time.monotonic()
        rate = (self._done - self._begun_with) / max(self._said - self._began, 1e-9)
        left = f"{self._done:,} of {self._total:,} steps, {rate:.1f} a second"
        if 0 < self._done < self._total and rate:
            left += f", {(self._total - self._done) / rate / 60:.0f} minutes left"
        print(f"epoch {self._epoch + 1} of {self._epochs}: {said}; {left}", file=sys.stderr, flush=True)
