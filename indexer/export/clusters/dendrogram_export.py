"""A dendrogram as nested JSON {name, distance, count, children}, written without recursion, however deep the
merges go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TextIO

from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges


def write_json(merges: Merges, names: Sequence[str], out: TextIO, *, clusters: int | None = None) -> None:
    """Write the whole tree, images by their ``names`` (n,); or its top alone, with ``clusters`` leaves.

    A cluster is named ``cluster-<number>``; numbers rise with the distance. Chains of merges nest as deep as
    there are images, and many JSON readers stop at some 1,000 levels: ``clusters`` keeps it shallow.
    """
    n = merges.images
    leaves = set(merges.tops(clusters)) if clusters is not None else set()
    todo: list[int | str] = [2 * n - 2]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            out.write(item)
            continue
        distance = 0.0 if item < n else float(merges.distances[item - n])
        name = names[item] if item < n else f"cluster-{item - n}"
        head = {"name": name, "distance": round(distance, 6), "count": merges.count(item)}
        out.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "children": [')
        todo.append("]}")
        if item >= n and item not in leaves:
            left, right = (int(child) for child in merges.children[item - n])
            todo += [right, ", ", left]


def drawing_order(merges: Merges, tops: Sequence[int]) -> list[int]:
    """Return ``tops`` in the order in which they stand under the root, left to right, so that no two lines of
    a drawing cross."""
    wanted, order, todo = set(tops), [], [2 * merges.images - 2]
    while todo:
        item = todo.pop()
        if item in wanted:
            order.append(item)
        else:
            left, right = (int(child) for child in merges.children[item - merges.images])
            todo += [right, left]
    return order
