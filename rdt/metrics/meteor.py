"""METEOR 1.5 (Denkowski and Lavie 2014), English and normalised, as a living Java process.

Its tables take seconds to load, so one process serves many systems. It works beside us: a call returns
at once, and its result is waited for where it is needed.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from rdt.errors import UserError
from rdt.files import atomic_write_bytes
from rdt.metrics.java import JARS, JavaProgram

_OPTIONS = ("-Xmx2g", "-XX:+UseSerialGC", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm")
_SEPARATOR = " ||| "


@dataclass(frozen=True)
class MeteorScores:
    """``corpus`` and ``per_image`` (n,) in [0, 1], and the ``statistics`` (n, 23) that they come from."""

    corpus: float
    per_image: np.ndarray
    statistics: np.ndarray


class Meteor:
    """Scores tokenised captions. The process starts with the first call that needs it.

    With ``cache``, a folder, what METEOR said of a list of captions is kept there, in a file named by the
    digest of the captions and their references. Several processes may share the folder.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._program: JavaProgram | None = None
        self._thread = ThreadPoolExecutor(1, "meteor")  # the one that speaks with the process
        self._known: dict[bytes, str] = {}  # statistics by digest of the question

    @property
    def pid(self) -> int | None:
        """Process id of the Java program, if it runs."""
        return self._program.pid if self._program is not None else None

    def start(self) -> None:
        """Let the process load its tables now."""
        if self._program is None:
            self._program = JavaProgram(_OPTIONS, JARS / "meteor")

    def score(
        self, images: Sequence[Any], references: Sequence[Sequence[str]], captions: Sequence[str]
    ) -> Future[MeteorScores]:
        """Queue n captions, each with the references of its image; ``images`` are their names in an error.

        The result raises UserError if the process has died.
        """
        questions = [_question(texts, caption) for texts, caption in zip(references, captions, strict=True)]
        file = self._cache / f"{_digest(chr(10).join(questions)).hex()}.npz" if self._cache else None
        found = _load(file, len(questions)) if file else None
        if found is not None:
            done: Future[MeteorScores] = Future()
            done.set_result(found)
            return done
        self.start()
        return self._thread.submit(self._scores, list(images), questions, file)

    def close(self) -> None:
        """End the process; what is queued is dropped."""
        if self._program is not None:
            self._program.kill()
        self._thread.shutdown(cancel_futures=True)
        if self._program is not None:
            self._program.close()

    def _scores(self, images: list[Any], questions: list[str], file: Path | None) -> MeteorScores:
        keys = [_digest(question) for question in questions]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        answers = self._ask([questions[i] for i in new.values()], [f"image {images[i]}" for i in new.values()])
        self._known |= zip(new, answers, strict=True)
        lines = [self._known[key] for key in keys]
        values = np.array(self._ask([_SEPARATOR.join(("EVAL", *lines))], ["the sum"] * (len(lines) + 1)), np.float64)
        statistics = np.array([line.split() for line in lines], np.float64)
        scores = MeteorScores(float(values[-1]), values[:-1], statistics)
        if file is not None:
            _save(file, scores)
        return scores

    def _ask(self, questions: list[str], about: list[str]) -> list[str]:
        """A line of answer for each of ``about``, which says what it is about."""
        if not questions:
            return []
        answers = []
        with self._program.told("".join(f"{question}\n" for question in questions)) as output:
            for subject in about:
                answer = output.readline()
                if not answer.endswith(b"\n"):
                    problem = f"its Java process ended at {subject} ({self._program.complaint()})"
                    raise UserError("METEOR", problem, "free memory, shorten that caption, or leave METEOR out")
                answers.append(answer.decode().strip())
        return answers


def _question(references: Sequence[str], caption: str) -> str:
    """METEOR's line for a caption. The separator in a caption is removed as pycocoevalcap does.

    A repeated reference is left out: METEOR takes the first of the best references.
    """
    cleaned = caption.replace("|||", "").replace("  ", " ")
    return _SEPARATOR.join(("SCORE", *dict.fromkeys(references), cleaned))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _save(file: Path, scores: MeteorScores) -> None:
    content = BytesIO()
    np.savez_compressed(content, corpus=scores.corpus, per_image=scores.per_image, statistics=scores.statistics)
    atomic_write_bytes(file, content.getvalue())


def _load(file: Path, n: int) -> MeteorScores | None:
    """What is kept in ``file``; None where it is missing or is not of n captions."""
    try:
        with np.load(file) as kept:
            scores = MeteorScores(float(kept["corpus"]), kept["per_image"], kept["statistics"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return scores if len(scores.per_image) == len(scores.statistics) == n else None
