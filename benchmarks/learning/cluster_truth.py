"""Do clusters find what people would call the same? Clothes by garment, emoji by group, on MobileNetV2
embeddings.

Every method has its grid, whose best point is chosen without the truth (mean rank of silhouette,
Calinski-Harabasz, Davies-Bouldin and the share of noise); next to it is the point of the same grid with the
highest NMI, which only the truth could have chosen. The tree's first level and its leaves are measured in the
same way. Purity rises with the number of clusters: ``shuffled`` is the purity of clusters of the same sizes
drawn at random. Clothing has 10 classes, of which t-shirts are 26 %; emoji 10 groups (168 drawings without
one are left out).

    python -m benchmarks.learning.cluster_truth --cache /tmp/embeddings --json truth.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import dataset
from benchmarks.learning.clothing import photos
from benchmarks.learning.taggers import embed
from vitrine.indexer.enrich.clusters.agreement import agreement, purity, stability
from vitrine.indexer.enrich.clusters.flat.flat import fit
from vitrine.indexer.enrich.clusters.flat.grid import GridResult, fit_grid, in_words
from vitrine.indexer.enrich.clusters.flat.methods import METHODS, Value
from vitrine.indexer.enrich.clusters.flat.reduce import Reduced, reduce
from vitrine.indexer.enrich.clusters.options import Reduction, TreeOptions
from vitrine.indexer.enrich.clusters.tree.tree import Tree, build_tree
from vitrine.services.domain import Embeddings

GRIDS: dict[str, dict[str, Sequence[Value]]] = {
    "kmeans": {"clusters": (5, 10, 20, 40)},
    "minibatch-kmeans": {"clusters": (5, 10, 20, 40)},
    "gaussian-mixture": {"clusters": (5, 10, 20, 40), "covariance": ("diag", "spherical")},
    "agglomerative": {"clusters": (5, 10, 20, 40), "linkage": ("average", "complete", "ward")},
    "dbscan": {},
    "hdbscan": {"min_cluster_size": (5, 10, 15, 30, 60)},
}
SEEDS = (1, 2)
_SHOWN = ("set", "reduce", "method", "point", "clusters", "noise", "nmi", "ari", "purity", "shuffled")


def figures(labels: NDArray[Any], classes: Sequence[str], noise: float = 0.0) -> dict[str, Any]:
    """Return NMI, ARI and purity, and the purity that chance would give."""
    drawn = np.random.default_rng(0).permutation(labels)
    clusters = len(np.unique(labels[labels >= 0] if labels.dtype.kind == "i" else labels))
    return {
        "clusters": clusters,
        "noise": noise,
        **asdict(agreement(labels, classes)),
        "shuffled": purity(drawn, classes),
    }


def flat(reduced: Reduced, how: Reduction, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield for each method the point chosen without the truth, and the best by it, both with their
    stability."""
    for method in METHODS:
        started = time.perf_counter()
        result = fit_grid(reduced.x, method, GRIDS[method], geometry=reduced.geometry)
        seconds = time.perf_counter() - started
        for point, at in (("chosen", result.best), ("best by truth", _by_truth(result, classes))):
            if at is None:
                continue
            row, labels = result.rows[at], result.labels_of[at]
            yield {
                "reduce": how,
                "method": method,
                "point": f"{point}: {in_words(row.parameters)}",
                "chosen": point == "chosen",
                "parameters": dict(row.parameters),
                **figures(labels, classes, row.scores.noise),
                **row.scores.values(),
                "fits": len(result.rows),
                "seconds": seconds,
                "stability": _stability(reduced, method, row.parameters, labels)
                if point == "chosen"
                else None,
            }


def tree(x: Embeddings, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the first level and the leaves of the 16-way tree."""
    started = time.perf_counter()
    built = build_tree(x, TreeOptions())
    seconds = time.perf_counter() - started
    first = _level(built)
    again = stability(lambda seed: _level(build_tree(x, TreeOptions(depth=1, seed=seed))), SEEDS, first)
    for point, labels in (("first level", first), ("leaves", _level(built, 99))):
        yield {
            "reduce": "none",
            "method": "tree",
            "point": point,
            "chosen": True,
            **figures(labels, classes),
            "seconds": seconds,
            "stability": again.mean if point == "first level" else None,
        }


def emoji_nodes(x: Embeddings, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the three most frequent groups of each first-level node."""
    labels, names = _level(build_tree(x, TreeOptions())), np.asarray(classes)
    found = []
    for node in sorted(set(labels.tolist()), key=lambda node: int(node.split("-")[1])):
        groups, counts = np.unique(names[labels == node], return_counts=True)
        top = [f"{groups[at]} {counts[at] / counts.sum():.0%}" for at in np.argsort(-counts)[:3]]
        found.append({"node": node, "images": int(counts.sum()), "groups": top})
    return found


def _level(built: Tree, depth: int = 1) -> NDArray[np.str_]:
    """Return the id of each row's node ``depth`` levels below the root, or of its leaf where that is
    higher."""
    leaves = [built.leaf_ids[leaf].split("-") for leaf in built.leaves]
    return np.array(["-".join(parts[: depth + 1]) for parts in leaves])


def _by_truth(result: GridResult, classes: Sequence[str]) -> int:
    return max(range(len(result.rows)), key=lambda at: agreement(result.labels_of[at], classes).nmi)


def _stability(reduced: Reduced, method: str, parameters: Any, labels: NDArray[np.int32]) -> float | None:
    if not METHODS[method].draws:
        return None
    return stability(
        lambda seed: fit(reduced.x, method, parameters, reduced.geometry, seed=seed), SEEDS, labels
    ).mean


def _sets(cache: Path, wanted: Sequence[str]) -> Iterator[tuple[str, Embeddings, list[str]]]:
    if "clothing" in wanted:
        found = photos(dataset("clothing") / "train", 0)
        yield (
            "clothing",
            embed([photo.path for photo in found], cache, "train"),
            [photo.garment for photo in found],
        )
    if "emoji" in wanted:
        folder = dataset("emoji")
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        x = embed([folder / row["file_name"] for row in rows], cache, "emoji")
        grouped = [at for at, row in enumerate(rows) if row["category"]]
        yield "emoji", x[grouped], [rows[at]["category"] for at in grouped]


def _line(values: Sequence[object]) -> str:
    widths = (9, 7, 17, 52, 9, 6, 7, 7, 7, 8)
    told = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in values]
    return " ".join(f"{value:<{width}}" for value, width in zip(told, widths, strict=True)).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", default=["clothing", "emoji"], help="clothing, emoji [both]")
    parser.add_argument("--cache", type=Path, required=True, help="folder for embeddings")
    parser.add_argument(
        "--reduce",
        nargs="*",
        default=list(get_args(Reduction)),
        choices=get_args(Reduction),
        help="before flat clusterings [all]",
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {"rows": rows}
    print(_line(_SHOWN))
    for name, x, classes in _sets(arguments.cache, arguments.sets):
        parts: list[Iterator[dict[str, Any]]] = [tree(x, classes)]
        if name == "clothing":
            parts += [flat(reduce(x, how), how, classes) for how in arguments.reduce]
        else:
            results["emoji_nodes"] = emoji_nodes(x, classes)
        for row in (row for part in parts for row in part):
            rows.append({"set": name, **row})
            print(_line([rows[-1][column] for column in _SHOWN]), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    for node in results.get("emoji_nodes", []):
        print(f"emoji {node['node']:<8} {node['images']:>4} images  {', '.join(node['groups'])}")


if __name__ == "__main__":
    main()
