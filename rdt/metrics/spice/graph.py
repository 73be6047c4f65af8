"""Scene graphs of captions: from a dependency parse to the propositions that SPICE compares.

Objects, attributes and relations of Anderson et al. 2016 (Sec. 3.1), found by the patterns that Schuster et
al. 2015 name: adjectival modifiers, subjects with a verb and perhaps an object, copulas, prepositional
phrases, possessives, passives and clauses that modify a noun. As in the first paper, a number is an attribute
of one object (plurals are not multiplied), a compound's first noun is an attribute of the second, and every
noun is an object, related or not. As in the second, words of quantity (`a lot of`) are skipped, pronouns
stand for the nouns they refer to, and prepositions of several words (`on top of`) count as one.

The parses have the labels of spaCy's English models (CLEAR style).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

# (object,), (object, attribute) or (object, relation, object): lemmas in lower case
Proposition = tuple[str, ...]


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split(", "))


# Words that count or measure what follows `of`, and are no objects themselves; numbers do so too.
QUANTITIES = _listed(
    "all, any, array, assortment, bit, both, bunch, couple, dozen, each, few, handful, hundred, kind, load, lot, "
    "many, most, multitude, none, number, pair, plenty, series, several, some, sort, thousand, ton, type, variety"
)
# Prepositions of several words, after the lists of the Universal Dependencies for English.
TWO_WORDS = _listed(
    "across from, ahead of, along with, alongside of, apart from, aside from, away from, because of, close by, "
    "close to, due to, except for, far from, inside of, instead of, near to, next to, off of, out of, outside of, "
    "prior to, such as, together with, up to"
)
THREE_WORDS = _listed(
    "by means of, in addition to, in back of, in case of, in front of, in place of, in spite of, on behalf of, "
    "on top of, with regard to, with respect to"
)
SINGULAR = _listed("he, she, it, him, her, his, hers, its, himself, herself, itself")
PLURAL = _listed("they, them, their, theirs, themselves")
OWNS = "have"

_SUBJECT = ("nsubj", "nsubjpass")
_NOUN_MODIFIERS = ("amod", "nummod", "compound", "nmod")
_COMPOUND = ("compound", "nmod")
_COMPLEMENTS = ("acomp", "oprd")
# A predicate in one of these places says something of the noun it depends on, or has the subject of the verb.
_SHARES_SUBJECT = frozenset(("acl", "relcl", "conj", "xcomp", "advcl", "acomp", "pcomp", "prep"))
_NO_PREDICATE = frozenset(("aux", "auxpass", "case", *_NOUN_MODIFIERS))


class Word(NamedTuple):
    """A word of a parse: lemma (lower case), Penn tag, relation to its head, the head's position (its own: root)."""

    lemma: str
    tag: str
    relation: str
    head: int


def propositions(words: Sequence[Word]) -> frozenset[Proposition]:
    """Objects, attributes and relations of a parsed caption, each once."""
    return frozenset(SceneGraph(words).propositions())


class SceneGraph:
    """Applies the rules to one parse. Words are known by their positions, and nodes are positions of nouns."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words
        self.children: list[list[int]] = [[] for _ in words]
        for i, word in enumerate(words):
            if word.head != i:
                self.children[word.head].append(i)

    def propositions(self) -> Iterator[Proposition]:
        for node in self.objects:
            yield (self.words[node].lemma,)
        for i in range(len(self.words)):
            if self._is_noun(i):
                yield from self._noun(i)
            elif self.words[i].tag == "CD":
                yield from self._number(i)
            elif self._is_predicate(i):
                yield from self._predicate(i)

    # ---- nouns

    @cached_property
    def objects(self) -> tuple[int, ...]:
        """Nouns that name things: not the first part of a compound, a quantity or part of a preposition."""
        return tuple(i for i in range(len(self.words)) if self._is_object(i))

    def _is_object(self, i: int) -> bool:
        word = self.words[i]
        if not self._is_noun(i) or self._counted(i) is not None:
            return False
        in_compound = word.relation in _COMPOUND and self._is_noun(word.head)
        return not in_compound and self._joined(word.head, i) is None

    def _noun(self, i: int) -> Iterator[Proposition]:
        """Modifiers, owners and prepositional phrases of a noun, or of what a word of quantity counts."""
        counted = self._counted(i)
        if counted is None and not self._is_object(i):
            return
        nodes = [i] if counted is None else self._mentions(i)
        if counted is None:
            yield from self._attributes(nodes, self._modifiers(i))
        owners = [owner for child in self._dependents(i, "poss") for owner in self._mentions(child)]
        yield from self._relations(owners, OWNS, nodes)
        yield from self._phrases(i, nodes)

    def _number(self, i: int) -> Iterator[Proposition]:
        """The number of `two of the dogs`; in `two dogs` it is a modifier."""
        if self._counted(i) is not None:
            yield from self._attributes(self._mentions(i), [i])

    def _modifiers(self, i: int) -> list[int]:
        """Adjectives, participles, numbers and nouns that modify a noun, also within a nested compound."""
        found, todo = [], self._dependents(i, *_NOUN_MODIFIERS)
        while todo:
            modifier = todo.pop()
            if not self._in_preposition(modifier):
                found.append(modifier)
            todo += self._dependents(modifier, "conj")
            if self.words[modifier].relation in _COMPOUND:
                todo += self._dependents(modifier, *_COMPOUND)
        return found

    def _counted(self, i: int) -> int | None:
        """What a word of quantity counts: `people` of `lots` in `lots of people`; None for other words."""
        if self.words[i].lemma in QUANTITIES or self.words[i].tag == "CD":
            for preposition in self._dependents(i, "prep"):
                counted = self._dependents(preposition, "pobj")
                if self.words[preposition].lemma == "of" and counted:
                    return counted[0]
        return None

    def _nodes(self, i: int) -> list[int]:
        """The node of one noun, or of what it counts."""
        while (counted := self._counted(i)) is not None:
            i = counted
        return [i] if self._is_object(i) else []

    def _mentions(self, i: int) -> list[int]:
        """All nodes that a noun phrase stands for: itself and what is coordinated with it, pronouns resolved."""
        nodes, todo = [], self._coordinated(i)
        while todo:
            member = todo.pop(0)
            counted = self._counted(member)
            if counted is not None:
                todo += self._coordinated(counted)
            elif self._is_object(member):
                nodes.append(member)
            elif self.words[member].tag in ("PRP", "PRP$"):
                nodes += self._antecedents(member)
            elif self.words[member].tag in ("WDT", "WP"):
                nodes += self._relative(member)
        return nodes

    def _relative(self, pronoun: int) -> list[int]:
        """The noun that `who`, `which` or `that` takes up."""
        i = pronoun
        while self.words[i].relation not in ("relcl", "ROOT") and self.words[i].head != i:
            i = self.words[i].head
        return self._nodes(self.words[i].head) if self.words[i].relation == "relcl" else []

    def _antecedents(self, pronoun: int) -> list[int]:
        """The nouns that a personal pronoun takes up, by a simple form of Hobbs' search.

        The noun highest in the tree among those before the pronoun that agree in number, the first one among
        equals; for `they` a coordination agrees too, and a singular noun where there is nothing else. Gender
        is not looked at.
        """
        lemma = self.words[pronoun].lemma
        before = sorted((node for node in self.objects if node < pronoun), key=lambda node: (self._depths[node], node))
        if lemma in SINGULAR:
            return [node for node in before if not self._is_plural(node)][:1]
        if lemma not in PLURAL:
            return []
        several = [node for node in before if self._is_plural(node) or self._dependents(node, "conj")]
        return self._mentions_before(several[0], pronoun) if several else before[:1]

    def _mentions_before(self, node: int, pronoun: int) -> list[int]:
        return [member for i in self._coordinated(node) if i < pronoun for member in self._nodes(i)]

    # ---- predicates

    def _is_predicate(self, i: int) -> bool:
        """Verbs, unless they only modify a noun or another verb, and other words that have a subject."""
        if self.words[i].relation in _NO_PREDICATE:
            return False
        return self.words[i].tag.startswith("VB") or bool(self._dependents(i, *_SUBJECT))

    def _predicate(self, i: int) -> Iterator[Proposition]:
        """What a verb (or an adjective with a subject) says of its subject."""
        subjects = self._subjects(i)
        is_verb = self.words[i].tag.startswith("VB")
        complements = [] if is_verb else [i]
        for child in self._dependents(i, *_COMPLEMENTS):
            complements += self._coordinated(child)
        yield from self._attributes(subjects, [c for c in complements if self._describes(c)])
        if is_verb and self.words[i].lemma == "be":
            yield from self._copula(i, subjects)
        elif is_verb:
            yield from self._action(i, subjects, described=bool(complements))
        for governor in dict.fromkeys((i, *complements)):
            yield from self._phrases(governor, subjects)

    def _copula(self, verb: int, subjects: list[int]) -> Iterator[Proposition]:
        for child in self._dependents(verb, "attr"):
            named = [node for node in self._mentions(child) if node not in subjects]
            yield from self._relations(subjects, "be", named)

    def _action(self, verb: int, subjects: list[int], described: bool) -> Iterator[Proposition]:
        """A verb relates its subjects to its objects and, if passive, its agents to its subjects."""
        name = self._name(verb, *self._dependents(verb, "prt"))
        objects = [node for child in self._dependents(verb, "dobj", "dative") for node in self._mentions(child)]
        agents = [
            node
            for by in self._dependents(verb, "agent")
            for child in self._dependents(by, "pobj")
            for node in self._mentions(child)
        ]
        yield from self._relations(subjects, name, objects)
        yield from self._relations(agents, name, subjects)
        if not (objects or agents or described):
            for node in subjects:
                yield self.words[node].lemma, name

    def _subjects(self, predicate: int) -> list[int]:
        """The nodes of which a predicate says something: its own subject, or the subject of what it depends on."""
        i = predicate
        while True:
            own = self._dependents(i, *_SUBJECT)
            if not own and self._dependents(i, "expl"):  # `there is a dog`: the dog
                own = self._dependents(i, "attr", "dobj")
            if own:
                return [node for child in own for node in self._mentions(child)]
            word = self.words[i]
            if word.relation == "acl" and any(self.words[child].tag == "TO" for child in self.children[i]):
                return []  # `a ball to hit`
            if word.relation not in _SHARES_SUBJECT or word.head == i:
                return []
            if self._is_noun(word.head):
                return self._nodes(word.head)
            i = word.head

    # ---- prepositional phrases

    def _phrases(self, governor: int, subjects: list[int]) -> Iterator[Proposition]:
        """Relations of the subjects to the nouns of the governor's prepositional phrases."""
        if not subjects:
            return
        # `on`, or the adverb or adjective before it: `next to`, `full of`, `up on`
        for place in (governor, *self._dependents(governor, "advmod", "amod", "prt")):
            for child in self._dependents(place, "prep", "dative"):
                for preposition in self._coordinated(child):
                    yield from self._phrase(governor, preposition, self._pair(place, preposition), subjects)

    def _phrase(self, governor: int, preposition: int, name: str, subjects: list[int]) -> Iterator[Proposition]:
        todo = [(preposition, name)]
        while todo:
            preposition, name = todo.pop()
            todo += [(inner, self._pair(preposition, inner)) for inner in self._dependents(preposition, "prep")]
            for noun in self._dependents(preposition, "pobj"):
                last = self._joined(preposition, noun)
                if last is not None:
                    todo.append((last, self._name(preposition, noun, last)))
                elif noun != self._counted(governor):
                    yield from self._relations(subjects, name, self._mentions(noun))

    def _pair(self, first: int, preposition: int) -> str:
        """`next to` or `out of` where the two words are one preposition, else the second alone."""
        pair = self._name(first, preposition)
        return pair if pair in TWO_WORDS else self.words[preposition].lemma

    def _joined(self, preposition: int, noun: int) -> int | None:
        """The last word of a preposition of three words, given the first two; None where it is none."""
        if self.words[noun].relation != "pobj" or len(self.children[noun]) != 1:
            return None
        last = self.children[noun][0]
        return last if self._name(preposition, noun, last) in THREE_WORDS else None

    def _name(self, *words: int) -> str:
        return " ".join(self.words[word].lemma for word in words)

    def _in_preposition(self, i: int) -> bool:
        """Whether a word is the first of a preposition of two words, as `close` in `close to`."""
        inner = self._dependents(i, "prep")
        return any(self._name(i, preposition) in TWO_WORDS for preposition in inner)

    # ---- small questions

    def _attributes(self, nodes: list[int], attributes: list[int]) -> Iterator[Proposition]:
        for node in nodes:
            for attribute in attributes:
                yield self.words[node].lemma, self.words[attribute].lemma

    def _relations(self, subjects: list[int], name: str, objects: list[int]) -> Iterator[Proposition]:
        for subject in subjects:
            for other in objects:
                if subject != other:
                    yield self.words[subject].lemma, name, self.words[other].lemma

    def _describes(self, i: int) -> bool:
        return self.words[i].tag[:2] in ("JJ", "VB", "RB", "CD") and not self._in_preposition(i)

    def _dependents(self, i: int, *relations: str) -> list[int]:
        return [child for child in self.children[i] if self.words[child].relation in relations]

    def _coordinated(self, i: int) -> list[int]:
        """A word and those joined to it by `and`, `or` or commas, in order."""
        found, todo = [], [i]
        while todo:
            member = todo.pop()
            found.append(member)
            todo += self._dependents(member, "conj")
        return sorted(found)

    def _is_noun(self, i: int) -> bool:
        return self.words[i].tag.startswith("NN")

    def _is_plural(self, i: int) -> bool:
        return self.words[i].tag in ("NNS", "NNPS")

    @cached_property
    def _depths(self) -> list[int]:
        """Number of steps from each word to its root."""
        depths = [-1] * len(self.words)
        for i in range(len(self.words)):
            path = []
            while depths[i] < 0 and self.words[i].head != i:
                path.append(i)
                i = self.words[i].head
            depths[i] = max(depths[i], 0)
            for distance, step in enumerate(reversed(path), 1):
                depths[step] = depths[i] + distance
        return depths
