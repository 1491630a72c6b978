"""Name nodes by the tags and classes that are more frequent in the node than in the category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, log2

from vitrine.indexer.enrich.clusters.tree.tree import Tree
from vitrine.services.artifacts.clusters import NOISE, ROOT, path_of

FIELDS = ("tags", "class")
"""Payload fields that names come from."""
BY_TAGS = "tags"
"""What ``Node.named_by`` says of a name from these."""
BY_FILE = "file"
"""What it says of a name that came with clusters from elsewhere."""
WORDS = 2
MIN_COUNT = 2
MIN_SHARE = 0.25
"""A word says something of a node if at least so many of its images have it, ..."""
MIN_LIFT = 1.5
"""... and it is at least so many times as frequent there as in the category."""


class Vocabulary:
    """Stores words as numbers: a hundred thousand images share some hundred words."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def words(self) -> list[str]:
        return list(self._numbers)

    def numbers(self, payload: Mapping[str, object]) -> tuple[int, ...]:
        """Return the words of one image as numbers: its tags and its class, each once."""
        tags, class_ = payload.get("tags"), payload.get("class")
        words = [*(tags if isinstance(tags, list) else ()), *([class_] if isinstance(class_, str) else ())]
        return tuple(self._numbers.setdefault(word, len(self._numbers)) for word in dict.fromkeys(words))


def node_names(tree: Tree, words: Sequence[Iterable[int]], vocabulary: Sequence[str]) -> dict[str, str]:
    """Return names by node id, "" where no word stands out and for noise. ``words``: of each row, as numbers
    in ``vocabulary``."""
    inside = {id: Counter[int]() for id in tree.nodes}
    for row, numbers in enumerate(words):
        inside[tree.leaf_ids[tree.leaves[row]]].update(numbers)
    for leaf in tree.leaf_ids:
        for id in path_of(leaf)[:-1]:
            inside[id].update(inside[leaf])
    total = tree.nodes[ROOT].count
    return {
        id: ""
        if id == NOISE
        else ", ".join(vocabulary[word] for word in telling(inside[id], node.count, inside[ROOT], total))
        for id, node in tree.nodes.items()
    }


def telling(inside: Counter[int], count: int, everywhere: Counter[int], total: int) -> list[int]:
    """Return the few words that tell ``count`` images from all ``total``, the most telling first.

    The lift of a word is p(word | node) / p(word). Those that pass the least count, share and lift are ranked
    by p(word | node) log2(lift), what each adds to the divergence of the node from the category (Kullback and
    Leibler, 1951): lift alone prefers the rarest. Of words on the same images only the first is taken.
    """
    least = max(MIN_COUNT, ceil(MIN_SHARE * count))
    gains: list[tuple[float, int]] = []
    for word, times in inside.items():
        lift = times * total / (count * everywhere[word])
        if times >= least and lift >= MIN_LIFT:
            gains.append((times / count * log2(lift), word))
    chosen: dict[tuple[int, int], int] = {}
    for _, word in sorted(gains, key=lambda gain: (-gain[0], gain[1])):
        chosen.setdefault((inside[word], everywhere[word]), word)
    return list(chosen.values())[:WORDS]
