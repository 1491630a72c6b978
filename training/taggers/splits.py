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
    share, generator = np.asarray(shares, np.float64) / sum(shares), np.random.default_rng(seed)
    members: list[NDArray[np.intp]] = [np.unique(group[targets[:, tag]]) for tag in range(targets.shape[1])]
    tags_of: list[list[int]] = [[] for _ in range(count)]  # by group
    for tag, some in enumerate(members):
        for one in some.tolist():
            tags_of[one].append(tag)
    # what each part still lacks: images, and groups of each tag
    room, wanted = (share * sizes.sum()).tolist(), [(share * len(some)).tolist() for some in members]
    part = np.full(count, -1, np.int64)

    def give(one: int, lacking: Sequence[int]) -> None:
        """Give a group to the part with most room of those ``lacking`` it; ties by lot."""
        best = max(lacking, key=room.__getitem__)
        part[one] = best
        room[best] -= sizes[one]
        for tag in tags_of[one]:
            wanted[tag][best] -= 1.0

    for tag in sorted(range(len(members)), key=lambda tag: len(members[tag])):
        for one in generator.permutation(members[tag]).tolist():
            if part[one] < 0:
                most = max(wanted[tag]) - 1e-9
                give(one, [number for number, lack in enumerate(wanted[tag]) if lack > most])
    for one in generator.permutation(count).tolist():
        if part[one] < 0:
            give(one, range(len(room)))
    return part[group]
