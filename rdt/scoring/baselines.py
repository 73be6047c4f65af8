"""Baselines of a split: human captions, the retrieved sentence and the most frequent train caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from rdt.data.dataset import Image
from rdt.data.identity import ImageId
from rdt.metrics.corpus import Request, Scorer
from rdt.metrics.diversity import distinct_n
from rdt.scoring.references import ORDINARY, Targets


def baselines(
    targets: Targets,
    train: Iterable[Image],
    retrieved: Mapping[ImageId, str] | None,
    scorer: Scorer,
) -> dict[str, Any]:
    """What a caption is worth without a captioner, against the ordinary references (``c5``).

    ``human``: each of the first five in turn against the others, mean of five; ``retrieved``: the first
    retrieved sentence, None where no index is needed; ``most_frequent``: the train split's commonest caption, for every
    image.
    """
    references = targets.references("c5")
    if references is None or targets.least < 2:
        reason = targets.lack("c5") if references is None else "not run: a human's caption needs a second reference"
        return {"role": targets.role, "split": targets.split, "not_run": reason}
    commonest = most_frequent_caption(train)
    humans = [
        Request(
            {image: texts[turn] for image, texts in references.items()},
            {image: texts[:turn] + texts[turn + 1 :] for image, texts in references.items()},
        )
        for turn in range(min(ORDINARY, targets.least))
    ]
    nearest = {} if retrieved is None else {"retrieved": {image: retrieved[image] for image in references}}
    others = {"most_frequent": dict.fromkeys(references, commonest)} | nearest
    scores = scorer.score_many([*humans, *(Request(captions, references) for captions in others.values())])
    turns, found = scores[: len(humans)], dict(zip(others, scores[len(humans) :], strict=True))
    first = scorer.words([texts[0] for texts in references.values()])
    return {
        "role": targets.role,
        "split": targets.split,
        "n": len(references),
        **({"spice": scorer.spice} if scorer.spice else {}),
        "mean_words_references": targets.words_per_reference(scorer),
        "human": {name: fmean(turn.corpus[name] for turn in turns) for name in turns[0].corpus},
        "human_distinct": {f"D@{n}": distinct_n(first, n) for n in (2, 3)},
        **({"retrieved": found["retrieved"].corpus} if retrieved is not None else {}),
        "most_frequent": {"caption": commonest, **found["most_frequent"].corpus},
    }


def most_frequent_caption(train: Iterable[Image]) -> str:
    """The commonest caption of the train split; the one that appears first among equals."""
    counts = Counter(" ".join(caption.tokens) for image in train for caption in image.captions)
    return counts.most_common(1)[0][0]
