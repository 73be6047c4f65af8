"""The errors that a user sees: one sentence, exit code 2."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST = 1000  # characters of a sentence: what was found may be a million characters


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
        super().__init__(_one_line(f"{self.where}: {problem}", LONGEST) + (f"; {remedy}" if remedy else ""))


def _one_line(text: str, longest: int) -> str:
    """``text`` without line breaks, its middle left out where it is longer."""
    line = re.sub(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", text)
    return line if len(line) <= longest else f"{line[: longest // 2]} ... {line[-longest // 2 :]}"
