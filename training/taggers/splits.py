"""Divide a multi-label set so that every part has its share of each tag (iterative stratification; Sechidis
et al., 2011).

One split serves all tags: an image is held out for all of them or for none, which keeps the summary over tags
honest and lets all of them be fit at once. The rarest tags are dealt out first, since they have the least
choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stratified_parts(
    targets: NDArray[np.bool_], groups: NDArray[np.integer], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Return (n,) the part of each example, 0 to len(shares) - 1, from targets (n, t) and groups (n,), which
    are never divided.

    Parts have about their share of all examples and of each tag's positives; a tag with as many positives (in
    groups of their own) as there are parts has some in each. The same seed gives the same parts.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    sizes = np.bincount(group, minlength=count).astype(np.float64)
    deal = _Deal(np.asarray(shares, np.float64) / sum(shares), np.random.default_rng(seed), sizes)
    held: list[list[int]] = [[] for _ in range(count)]  # by group: its tags
    members: list[NDArray[np.intp]] = [np.unique(group[targets[:, tag]]) for tag in range(targets.shape[1])]
    for tag, some in enumerate(members):
        for one in some.tolist():
            held[one].append(tag)
    deal.want([len(some) for some in members])
    for tag in sorted(range(len(members)), key=lambda tag: len(members[tag])):
        for one in deal.generator.permutation(members[tag]).tolist():
            deal.give(one, tag, held[one])
    for one in deal.generator.permutation(count).tolist():
        deal.give(one, None, held[one])
    return deal.part[group]


class _Deal:
    """What each part still lacks while groups are dealt out."""

    def __init__(
        self, shares: NDArray[np.float64], generator: np.random.Generator, sizes: NDArray[np.float64]
    ) -> None:
        self.generator = generator
        self.part = np.full(len(sizes), -1, np.int64)
        self._shares, self._sizes = shares, sizes.tolist()
        self._room = (shares * sizes.sum()).tolist()
        self._wanted: list[list[float]] = []

    def want(self, counts: Sequence[int]) -> None:
        self._wanted = [(self._shares * count).tolist() for count in counts]

    def give(self, group: int, tag: int | None, held: Sequence[int]) -> None:
        """Give a group to the part that lacks most of this tag, then to the one with most room; ties by
        lot."""
        if self.part[group] >= 0:
            return
        parts = range(len(self._room))
        if tag is None:
            best = max(parts, key=self._room.__getitem__)
        else:
            wanted = self._wanted[tag]
            most = max(wanted)
            best = max((part for part in parts if wanted[part] > most - 1e-9), key=self._room.__getitem__)
        self.part[group] = best
        self._room[best] -= self._sizes[group]
        for one in held:
            self._wanted[one][best] -= 1.0
