"""What the networks say: Fig. 5(a), captions with their new words, and Fig. 5(b), images that are nearly the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rdt.data.dataset import Image
from rdt.data.sentences import tokenize
from rdt.metrics.names import TWINS_COLUMN
from rdt.report.gallery import CIDER, Cast, Gallery, ShownNetwork

EXAMPLES = 6  # images of Fig. 5(a)
SHOWN_REFERENCES = 3  # as many as in the paper's figure


@dataclass(frozen=True)
class Phrase:
    """Words of a caption that follow each other; ``kind`` is "" for what others say too, else supported or alone.

    ``supported``: a reference of the image has these new words; ``alone``: none has.
    """

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Said:
    """A network's caption of an image, and its CIDEr-D (None where there are too few references)."""

    network: str
    phrases: tuple[Phrase, ...]
    cider: float | None


@dataclass(frozen=True)
class Example:
    """An image with its references and what each network says of it."""

    image: Image
    references: tuple[str, ...]
    said: tuple[Said, ...]


@dataclass(frozen=True)
class Novelty:
    """New words of one network over the test split: a caption, and the share of them that a reference has."""

    network: str
    words: float
    supported: float | None


@dataclass(frozen=True)
class Pair:
    """Two images that differ in one attribute."""

    images: tuple[Example, Example]


@dataclass(frozen=True)
class TwinOutcome:
    """Pairs of twins by who tells them apart; ``pair`` is the first of them in the order of the data."""

    title: str
    count: int
    pair: Pair


def mark(caption: str, others: Sequence[str], references: Sequence[str]) -> tuple[Phrase, ...]:
    """A caption with the words marked that none of ``others`` has."""
    known = {word for other in others for word in tokenize(other)}
    true = {word for reference in references for word in tokenize(reference)}
    kinds = [(word, "" if word in known else "supported" if word in true else "alone") for word in tokenize(caption)]
    return tuple(
        Phrase(" ".join(word for word, _ in same), kind) for kind, same in groupby(kinds, lambda pair: pair[1])
    )


def shown_images(gallery: Gallery, network: ShownNetwork, count: int = EXAMPLES) -> tuple[Image, ...]:
    """Images at even distances in the order of a network's CIDEr-D, the best first, so that nobody picks them."""
    scores = gallery.scores(network)
    order = sorted(range(len(gallery.images)), key=lambda at: -scores[CIDER].iloc[at] if CIDER in scores else at)
    count = min(count, len(order))
    return tuple(gallery.images[order[int((at + 0.5) * len(order) / count)]] for at in range(count))


def example(
    gallery: Gallery, networks: Sequence[ShownNetwork], image: Image, marked: ShownNetwork | None = None
) -> Example:
    """An image with its captions; the words of ``marked`` that no other network has are marked."""
    references = tuple(caption.raw for caption in image.captions)
    said = []
    for network in networks:
        others = [gallery.captions(other)[image.id] for other in networks if other != network]
        caption = gallery.captions(network)[image.id]
        phrases = mark(caption, others, references) if network == marked else (Phrase(caption),)
        said.append(Said(network.name, phrases, _cider(gallery, network, image)))
    return Example(image, references[:SHOWN_REFERENCES], tuple(said))


def _cider(gallery: Gallery, network: ShownNetwork, image: Image) -> float | None:
    scores = gallery.scores(network)
    return float(scores[CIDER].loc[str(image.id)]) if CIDER in scores else None


def novelty(gallery: Gallery, networks: Sequence[ShownNetwork]) -> tuple[Novelty, ...]:
    """Number of words of each network that no other one has, over the whole test split."""
    found = []
    for network in networks:
        new = supported = 0
        for image in gallery.images:
            others = [gallery.captions(other)[image.id] for other in networks if other != network]
            references = [caption.raw for caption in image.captions]
            for phrase in mark(gallery.captions(network)[image.id], others, references):
                words = len(phrase.text.split())
                new += words * bool(phrase.kind)
                supported += words * (phrase.kind == "supported")
        found.append(Novelty(network.name, new / len(gallery.images), 100 * supported / new if new else None))
    return tuple(found)


def twin_outcomes(gallery: Gallery, cast: Cast) -> tuple[TwinOutcome, ...]:
    """Pairs of the test split by who tells them apart; empty where no image has a twin."""
    scores = [gallery.scores(network) for network in (cast.base, cast.rdt)]
    if not all(TWINS_COLUMN in frame for frame in scores):
        return ()
    base, rdt = (frame[TWINS_COLUMN].dropna() > 0 for frame in scores)
    titles = {
        (False, True): "RDT tells them apart, the base does not",
        (True, False): "The base tells them apart, RDT does not",
        (True, True): "Both tell them apart",
        (False, False): "Neither tells them apart",
    }
    outcomes = []
    for (by_base, by_rdt), title in titles.items():
        ids = list(base.index[(base == by_base) & (rdt == by_rdt)])
        if ids:
            first = gallery.by_id[ids[0]]
            both = (first, gallery.by_id[str(first.twin)])
            pair = Pair(tuple(example(gallery, (cast.base, cast.rdt), image) for image in both))
            outcomes.append(TwinOutcome(title, len(ids), pair))
    return tuple(outcomes)
