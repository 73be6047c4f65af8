"""The errors that a user sees: one sentence, exit code 2."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A mistake in the user's input, told in one sentence.

    ``where`` is the file (and key, line or image id) at fault, ``problem`` what was found there and
    what was expected, ``remedy`` what to do about it.
    """

    exit_code = 2

    def __init__(self, where: str | Path, problem: str, remedy: str = "") -> None:
        self.where = str(where)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{self.where}: {problem}" + (f"; {remedy}" if remedy else ""))
