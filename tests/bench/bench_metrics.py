"""Speed of the corpus metrics beside pycocoevalcap, on 5,000 images with 5 references, and of the bootstrap.

    python -m tests.bench.bench_metrics

The captions are COCO's own. BLEU, METEOR, ROUGE-L and CIDEr of a first system and of further ones against the
same references are timed in turn with pycocoevalcap, which starts anew for each system: in CPU-seconds, those of the
Java programs included, and in seconds, which tell only on free cores. Exits with 1 if a bar is missed or a score
differs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from rdt.data.coco import references_by_image
from rdt.metrics import resampling
from rdt.metrics.corpus import Scorer, Scores
from rdt.metrics.java import JARS, java
from rdt.metrics.names import BLEU
from tests.bench.bench_core import verdict

# Times as fast as pycocoevalcap. METEOR's program is the same for both: it takes 33 of a first system's 40 CPU-s (14 to
# load its tables) and 9 of a further one's 11.
FIRST_BAR, FURTHER_BAR = 1.1, 4.0
BOOTSTRAP_SECONDS = 10.0
METRICS = (*BLEU, "M", "R", "C")
IMAGES, FURTHER = 5000, 3


class Cost(NamedTuple):
    """Of scoring a system."""

    cpu: float
    wall: float


Captions = Mapping[int, str]
References = Mapping[int, Sequence[str]]


def coco_systems() -> tuple[list[Captions], References]:
    """As many systems as are timed, made of human captions, and the references of all."""
    with zipfile.ZipFile(JARS / "spice" / "spice-1.0.jar") as jar:
        document = json.loads(jar.read("coco/annotations/captions_val2014.json"))
    captions = references_by_image(document, "val2014").captions
    ids = random.Random(0).sample(list(captions), IMAGES)
    after = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    references = {i: [*captions[i][1:5], captions[after[i]][0]] for i in ids}
    first = {i: captions[i][0] for i in ids}
    # Others: captions of the next image; and halves of two captions, which begin well and end badly.
    halves = [{i: _half(captions[i][k], 0) + _half(captions[after[i]][k], 1) for i in ids} for k in range(1, FURTHER)]
    return [first, {i: captions[after[i]][4] for i in ids}, *halves], references


def _half(caption: str, which: int) -> str:
    words = caption.split()
    middle = len(words) // 2
    return " ".join(words[:middle] if which == 0 else [" ", *words[middle:]])


def pycocoevalcap(captions: Captions, references: References) -> dict[str, float]:
    """Corpus values, times 100, as COCOEvalCap computes them."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = PTBTokenizer().tokenize({i: [{"caption": text} for text in references[i]] for i in captions})
        results = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in captions.items()})
        found = dict(zip(BLEU, Bleu(4).compute_score(truth, results)[0], strict=True))
        for name, metric in (("M", Meteor()), ("R", Rouge()), ("C", Cider())):
            found[name] = metric.compute_score(truth, results)[0]
    return {name: 100 * float(value) for name, value in found.items()}


def cpu_seconds() -> float:
    """CPU-seconds of this process and of its children, those that have ended and those that live."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    own = psutil.Process().cpu_times()
    return sum(t.user + t.system for t in [own, *times]) + own.children_user + own.children_system


def timed(run: Callable[[], object]) -> tuple[Cost, object]:
    start, spent = time.perf_counter(), cpu_seconds()
    result = run()
    return Cost(cpu_seconds() - spent, time.perf_counter() - start), result


def bench_corpus() -> tuple[bool, Scores]:
    systems, references = coco_systems()
    print(f"BLEU, METEOR, ROUGE-L, CIDEr of {IMAGES:,} captions against 5 references each")
    theirs, mine, equal = [], [], True
    with Scorer() as scorer:
        for captions in systems:
            cost, scores = timed(lambda captions=captions: scorer.score(captions, references, METRICS))
            mine.append(cost)
            cost, expected = timed(lambda captions=captions: pycocoevalcap(captions, references))
            theirs.append(cost)
            equal &= scores.corpus == expected
            print(
                f"  system {len(mine)}: here {mine[-1].cpu:.1f} CPU-s in {mine[-1].wall:.1f} s, "
                f"pycocoevalcap {theirs[-1].cpu:.1f} CPU-s in {theirs[-1].wall:.1f} s"
            )
    print(f"  scores are {'equal to the last bit' if equal else 'NOT EQUAL'}")
    ratios = [t.cpu / m.cpu for t, m in zip(theirs, mine, strict=True)]
    met = [
        verdict("first system, CPU-seconds", ratios[0], FIRST_BAR, at_least=True),
        verdict("further system, CPU-seconds", median(ratios[1:]), FURTHER_BAR, at_least=True),
    ]
    return equal and all(met), scores


def bench_bootstrap(scores: Scores) -> bool:
    """Resamples of 5,000 images for eight metrics; the third of the means stands in for SPICE."""
    numbers = scores.statistics | {"S": scores.statistics["R"]}
    cost, _ = timed(lambda: resampling.interval(numbers))
    met = cost.cpu <= BOOTSTRAP_SECONDS
    print(f"Bootstrap, {resampling.RESAMPLES:,} resamples of {IMAGES:,} images, 8 metrics")
    print(f"  {cost.cpu:.1f} CPU-s (bar: at most {BOOTSTRAP_SECONDS:g}) {'ok' if met else 'MISSED'}")
    return met


def main() -> int:
    os.environ["PATH"] = f"{Path(java()).parent}{os.pathsep}{os.environ['PATH']}"  # the same Java for both
    met, scores = bench_corpus()
    return 0 if bench_bootstrap(scores) and met else 1


if __name__ == "__main__":
    sys.exit(main())
