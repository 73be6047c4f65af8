"""What is to be said of scores, lest they be taken for more than they are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from rdt.data.identity import ImageId
from rdt.metrics.names import RECORD

FEWEST = 4  # images of an interval: the resamples of three are ten, and Student's quantile grows without bound
ENGLISH = tuple(name for name, metric in RECORD.items() if metric.english)
_LATIN = 0.7  # share of the letters of English that are Latin, at least
_KNOWN = 0.1  # share of its words that are among the common ones, at least
_FEW_WORDS = 20  # say nothing about a language
# Common words of English captions that no language beside it has in its own captions (not: a, an, in, was).
_COMMON_WORDS = """
    the of with and is are on at to it its his her their that for from by some two three four there this who while
    man woman men women people person boy girl child children group dog dogs cat horse bird train bus car street road
    table chair bench room kitchen house building tree trees water beach snow field grass park ball food plate bed
    sitting standing holding walking riding playing running looking wearing eating lying plays stands sits holds runs
    red white black blue green yellow brown grey gray large small big little young old next near front side top above
    below left right over under behind
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def few_images(scopes: Mapping[str, int], metrics: Iterable[str]) -> list[str]:
    """What scopes of few images (their numbers by name) do to scores and intervals."""
    if not (wanted := list(metrics)):
        return []
    notes = []
    single = [scope for scope, n in scopes.items() if n == 1]
    if single and "C" in wanted:
        notes.append(
            f"CIDEr says nothing about one image ({', '.join(single)}): every word is then in all documents, and the "
            "score is 0 whatever the caption"
        )
    few = [scope for scope, n in scopes.items() if n < FEWEST]
    if few:
        notes.append(
            f"no intervals for fewer than {FEWEST} images ({', '.join(few)}): resamples of so few say nothing of others"
        )
    return notes


def without_domain(images: Iterable[ImageId], domains: Mapping[ImageId, str]) -> list[str]:
    """How many images are in no domain, where others are in one."""
    listed = list(images)
    lacking = sum(image not in domains for image in listed)
    if not domains or not lacking or lacking == len(listed):
        return []
    verb = "has" if lacking == 1 else "have"
    return [f"{lacking:,} of {len(listed):,} images {verb} no domain: scored among all images, and in no domain"]


def not_english(texts: Sequence[str], metrics: Iterable[str]) -> list[str]:
    """A note where METEOR or SPICE was asked for, and the texts are not English by their script or their words."""
    names = [RECORD[name].title for name in metrics if name in ENGLISH]
    reason = _foreign(texts) if names else None
    verb = "are" if len(names) > 1 else "is"
    remedy = "name the language: --language, or metrics.language of an experiment"
    return [f"{' and '.join(names)} {verb} made for English, and {reason}; {remedy}"] if reason else []


def _foreign(texts: Sequence[str]) -> str | None:
    """Why these texts are not English; None where they may be."""
    letters = [letter for text in texts[:2000] for letter in text if letter.isalpha()]
    latin = sum(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if letters and latin < _LATIN * len(letters):
        return f"{100 * (1 - latin / len(letters)):.0f} % of the references' letters are of another script"
    words = [word for text in texts[:2000] for word in re.findall(r"[^\W\d_]+", text.lower())]
    known = sum(word in _COMMON for word in words)
    if len(words) >= _FEW_WORDS and known < _KNOWN * len(words):
        return f"only {100 * known / len(words):.0f} % of the references' words are common ones of English"
    return None
