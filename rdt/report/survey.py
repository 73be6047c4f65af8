"""What the captions of a data set say of the method: words, n-grams, and q of the ranking loss (section III-D).

The qualities q* are the ones of the training itself, on the batches that its first epoch draws. Since q* depends on
the numbering of the words, it is looked at under the vocabulary's own order and under random ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from rdt.data.dataset import Image
from rdt.data.tokens import sentence, token_row, valid_mask
from rdt.data.vocabulary import Vocabulary
from rdt.diffusion.bits import encode_bits
from rdt.draws import epoch_order
from rdt.experiment.settings import Method
from rdt.losses import close_pairs, pairwise_ranking_loss, sentence_quality
from rdt.metrics.ciderd import DocumentFrequency
from rdt.metrics.ngrams import ORDERS
from rdt.training.batches import image_draw

BUILDERS = "builder's"
PADDINGS = {"masked": "words and end", "included": "all positions"}  # what q* is a mean over
NEARLY = 0.05  # standard deviation of a predictor's error in q
AT_ONCE = 8192  # captions whose bits are held at a time


@dataclass(frozen=True)
class Captions:
    """The captions of a train split as token rows (m, L), the images' numbers (n,), and each one's first row (n,)."""

    rows: np.ndarray
    image_ids: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, images: Sequence[Image], vocabulary: Vocabulary, length: int) -> Captions:
        """Captions of ``images`` as ids of a vocabulary, padded to ``length``."""
        rows = [token_row(vocabulary.encode(c.tokens), length) for image in images for c in image.captions]
        counts = [len(image.captions) for image in images]
        first = np.cumsum([0, *counts[:-1]])
        return cls(np.stack(rows), np.array([image.number for image in images]), first)

    @property
    def counts(self) -> np.ndarray:
        """Number of captions of each image (n,)."""
        return np.diff(self.first, append=len(self.rows))


# ---- words


def words_by_count(images: Iterable[Image], thresholds: Sequence[int]) -> dict[int, int]:
    """Number of different words that occur at least as often as each threshold says."""
    counts = Counter(token for image in images for caption in image.captions for token in caption.tokens)
    return {least: sum(count >= least for count in counts.values()) for least in thresholds}


def ngrams_by_order(df: DocumentFrequency) -> list[tuple[int, int]]:
    """For n = 1..4: different n-grams, and how many of them occur in more than one image."""
    everywhere, repeated = (Counter(map(len, counts)) for counts in (df.counts, df.repeated().counts))
    return [(everywhere[n], repeated[n]) for n in range(1, ORDERS + 1)]


def counts(images: Sequence[Image], captions: Captions, vocabulary: Vocabulary, method: Method) -> dict[str, float]:
    """Numbers of images, captions and words, by what they are numbers of."""
    texts = [caption.tokens for image in images for caption in image.captions]
    types = words_by_count(images, (method.min_count - 1, method.min_count, method.min_count + 1))
    longest = method.length - 1
    return {
        "images": len(images),
        "captions": len(texts),
        "different captions": len(set(texts)),
        "words": sum(map(len, texts)),
        "words in a caption": fmean(map(len, texts)),
        f"captions of more than {longest} words": sum(len(tokens) > longest for tokens in texts),
        **{f"words that occur at least {least} times": count for least, count in types.items()},
        "vocabulary": vocabulary.size,
        "bits": vocabulary.num_bits,
        "codes outside the vocabulary": 2**vocabulary.num_bits - vocabulary.size,
        "unknown words": int((captions.rows == vocabulary.size - 1).sum()),
    }


# ---- q of the ranking loss


@dataclass(frozen=True)
class Batches:
    """What the first steps of a training draw: which captions (steps, n), and their timesteps t' (steps, n)."""

    captions: np.ndarray
    t: np.ndarray


def training_batches(captions: Captions, method: Method, steps: int, seed: int = 0) -> Batches:
    """The first ``steps`` steps of the first epoch; fewer where the epoch has not as many."""
    size, counts = method.images_per_step, captions.counts
    order = epoch_order(seed, 0, len(counts))[: steps * size]
    chosen, t = [], []
    for at in order[: len(order) // size * size]:
        image, copies = int(captions.image_ids[at]), method.captions_per_image
        # the draws of a row come one after the other: without its noise, the last of them, the others are the same
        draw = image_draw(seed, 0, image, copies, int(counts[at]), method.retrieved, method.t_max, (0, 0))
        chosen.append(captions.first[at] + draw.captions)
        t.append(draw.t)
    shape = (-1, size * method.captions_per_image)
    return Batches(np.concatenate(chosen).reshape(shape), np.concatenate(t).reshape(shape))


def qualities(rows: np.ndarray, num_bits: int) -> dict[str, np.ndarray]:
    """q* of token rows (m, L): float32 (m,), by what is made of the padding."""
    found: dict[str, list[np.ndarray]] = {padding: [] for padding in PADDINGS}
    for first in range(0, len(rows), AT_ONCE):
        part = torch.from_numpy(rows[first : first + AT_ONCE]).long()
        bits, valid = encode_bits(part, num_bits), valid_mask(part)
        for padding, mask in zip(PADDINGS, (valid, torch.ones_like(valid)), strict=True):
            found[padding].append(sentence_quality(bits, mask).numpy())
    return {padding: np.concatenate(values) for padding, values in found.items()}


def renumbered(vocab_size: int, seed: int) -> np.ndarray:
    """A random new id (V,) of each word; the first and the last id keep their meaning."""
    inner = np.random.default_rng(seed).permutation(np.arange(1, vocab_size - 1))
    return np.array([0, *inner, vocab_size - 1])


@dataclass(frozen=True)
class QualityRow:
    """q* under one word order and one treatment of the padding.

    ``length_correlation``: of q* with the number of words, over all captions. Over all n^2 pairs of a batch:
    ``in_time`` and ``in_quality``, what either mask lets through, ``in_both``, and ``active``, those of them that
    have an order. ``loss_constant`` and ``loss_nearly``: the weighted ranking loss of a predictor that gives
    all captions the same q, and of one whose error is ``NEARLY``; ``_active``: averaged over active pairs instead.
    ``same_order``: pairs in the order that they have under the builder's numbering, of those with one in both.
    """

    order: str
    padding: str
    mean: float
    deviation: float
    length_correlation: float
    in_time: float
    in_quality: float
    in_both: float
    active: float
    loss_constant: float
    loss_nearly: float
    loss_constant_active: float
    loss_nearly_active: float
    same_order: float


def survey_qualities(
    captions: Captions, vocabulary: Vocabulary, method: Method, batches: Batches, permutations: int
) -> Iterator[QualityRow]:
    """q* under the builder's word order and ``permutations`` random ones, with the padding left out and in."""
    words = valid_mask(captions.rows).sum(1) - 1
    numberings = {BUILDERS: np.arange(vocabulary.size)}
    numberings |= {f"random {seed}": renumbered(vocabulary.size, seed) for seed in range(1, permutations + 1)}
    builders: dict[str, np.ndarray] = {}
    for order, ids in numberings.items():
        for padding, q in qualities(ids[captions.rows], vocabulary.num_bits).items():
            reference = builders.setdefault(padding, q)
            pairs = [pair_figures(*batch, method) for batch in _in_batches(q, reference, batches)]
            means = {name: float(np.nanmean([figures[name] for figures in pairs])) for name in pairs[0]}
            correlation = float(np.corrcoef(q, words)[0, 1])
            yield QualityRow(order, padding, float(q.mean()), float(q.std()), correlation, **means)


def _in_batches(q: np.ndarray, reference: np.ndarray, batches: Batches) -> Iterator[tuple[torch.Tensor, ...]]:
    """q*, the builder's q* and t' of each batch (n,), and q with an error, the same for all numberings."""
    rng = np.random.default_rng(0)
    for chosen, t in zip(batches.captions, batches.t, strict=True):
        error = rng.normal(0, NEARLY, len(chosen)).astype(np.float32)
        yield tuple(map(torch.from_numpy, (q[chosen], reference[chosen], t, q[chosen] + error)))


def pair_figures(
    q_star: torch.Tensor, reference: torch.Tensor, t: torch.Tensor, nearly: torch.Tensor, method: Method
) -> dict[str, float]:
    """Figures of :class:`QualityRow` about the pairs of one batch; all tensors are (n,)."""
    in_time, in_quality = close_pairs(q_star, t, method.delta_tim, method.delta_sen)
    sign, other = ((q[:, None] - q[None, :]).sign() for q in (q_star, reference))
    ordered = (sign != 0) & (other != 0)
    figures = {
        "in_time": in_time,
        "in_quality": in_quality,
        "in_both": in_time & in_quality,
        "active": in_time & in_quality & (sign != 0),
        "same_order": (sign == other)[ordered],
    }
    losses = {
        f"loss_{name}{suffix}": method.lambda_rank
        * pairwise_ranking_loss(q, q_star, t, method.delta_tim, method.delta_sen, average=average)
        for name, q in (("constant", torch.zeros_like(q_star)), ("nearly", nearly))
        for suffix, average in (("", "all_pairs"), ("_active", "active_pairs"))
    }
    return {name: value.float().mean().item() for name, value in (figures | losses).items()}


# ---- all of it


@dataclass(frozen=True)
class Survey:
    """What was found: counts by name, n-grams (all, in several images) by order, and q* by word order."""

    title: str
    method: Method
    counts: Mapping[str, float]
    ngrams: Sequence[tuple[int, int]]
    batches: int
    q: Sequence[QualityRow]


def survey(
    title: str, images: Sequence[Image], vocabulary: Vocabulary, method: Method, steps: int, permutations: int
) -> Survey:
    """The train split ``images`` of a data set; q* on ``steps`` batches, under ``permutations`` random numberings."""
    captions = Captions.of(images, vocabulary, method.length)
    references = ([sentence(row) for row in rows] for rows in np.split(captions.rows, captions.first[1:]))
    df = DocumentFrequency.from_references(references)
    batches = training_batches(captions, method, steps)
    q = list(survey_qualities(captions, vocabulary, method, batches, permutations))
    return Survey(title, method, counts(images, captions, vocabulary, method), ngrams_by_order(df), len(batches.t), q)
