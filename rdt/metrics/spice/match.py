"""How SPICE compares scene graphs: synonymous nodes become one, and F1 counts the propositions that match.

Anderson et al. 2016, Sec. 3.1 and 3.2. Synonyms are words of one WordNet synset, in the tables of METEOR 1.5.
"""

from __future__ import annotations

import functools
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from rdt.metrics.spice.graph import Proposition

Same = Callable[[str, str], bool]  # whether two lemmas mean the same

_JAR = "pycocoevalcap/meteor/meteor-1.5.jar"
_SYNSETS = "synonym/english.synsets"


@dataclass(frozen=True)
class Graph:
    """Propositions in which each node has one name, and all the names that each node had."""

    propositions: tuple[Proposition, ...]
    names: Mapping[str, frozenset[str]]


def merge(graphs: Iterable[Iterable[Proposition]], same: Same) -> Graph:
    """The union of scene graphs, with one node for the objects that are synonyms.

    A node is called by its commonest name, the first in the alphabet among equals, and a name joins the
    commonest name that it is a synonym of. So the order of the graphs does not matter.
    """
    graphs = [set(graph) for graph in graphs]
    uses = Counter(proposition[0] for graph in graphs for proposition in graph if len(proposition) == 1)
    called: dict[str, str] = {}
    nodes: list[str] = []
    for name in sorted(uses, key=lambda name: (-uses[name], name)):
        called[name] = next((node for node in nodes if same(name, node)), name)
        if called[name] == name:
            nodes.append(name)
    named = {node: frozenset(name for name in called if called[name] == node) for node in nodes}
    return Graph(tuple(sorted({_renamed(p, called) for graph in graphs for p in graph})), named)


def _renamed(proposition: Proposition, called: Mapping[str, str]) -> Proposition:
    """A proposition about the nodes that its objects have become."""
    first, *rest = proposition
    if len(rest) == 2:
        return called[first], rest[0], called[rest[1]]
    return called[first], *rest


def f1(candidate: Graph, reference: Graph, same: Same) -> float:
    """F1 in [0, 1] of the propositions that match, each with one other at most; 0 where a graph is empty."""
    if not candidate.propositions or not reference.propositions:
        return 0.0
    return 2 * matches(candidate, reference, same) / (len(candidate.propositions) + len(reference.propositions))


def matches(candidate: Graph, reference: Graph, same: Same) -> int:
    """The largest number of pairs of matching propositions in which none occurs twice."""
    alike = {
        (a, b)
        for a, names in candidate.names.items()
        for b, others in reference.names.items()
        if any(same(name, other) for name in names for other in others)
    }
    pairs = [
        (i, j)
        for i, first in enumerate(candidate.propositions)
        for j, second in enumerate(reference.propositions)
        if _match(first, second, alike, same)
    ]
    if not pairs:
        return 0
    rows, columns = zip(*pairs, strict=True)
    shape = (len(candidate.propositions), len(reference.propositions))
    graph = csr_array((np.ones(len(pairs), np.int8), (rows, columns)), shape)
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


def _match(first: Proposition, second: Proposition, alike: set[tuple[str, str]], same: Same) -> bool:
    if len(first) != len(second) or (first[0], second[0]) not in alike:
        return False
    if len(first) == 3 and (first[2], second[2]) not in alike:
        return False
    return len(first) == 1 or same(first[1], second[1])


@functools.cache
def synonyms(word: str, other: str) -> bool:
    """Whether two lemmas are equal or stand together in a synset."""
    return word == other or not _synsets(word).isdisjoint(_synsets(other))


@functools.cache
def _synsets(word: str) -> frozenset[str]:
    return frozenset(_wordnet().get(word.replace(" ", "_"), "").split())


@functools.cache
def _wordnet() -> dict[str, str]:
    """Word -> the numbers of its synsets, separated by spaces: the lines of METEOR's file in pairs."""
    with zipfile.ZipFile(distribution("pycocoevalcap").locate_file(_JAR)) as jar:
        lines = jar.read(_SYNSETS).decode("utf-8").splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=True))
