"""How clusters are made, compared and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from vitrine.indexer.enrich.clusters.flat.methods import METHODS, Linkage, get_method
from vitrine.services.errors import BadRequest
from vitrine.services.options import Options, option

Covariance = Literal["diag", "spherical", "tied", "full"]
Reduction = Literal["none", "pca", "umap"]
PixelMeasure = Literal["ssim", "minhash", "ahash", "phash", "dhash", "whash", "colorhash", "orb", "template"]
PairMeasure = Literal["embedding", PixelMeasure]
_SEED = "Seed of everything that is drawn at random."


@dataclass(frozen=True)
class TreeOptions(Options):
    """The shape of a tree: a node of at most ``leaf_size`` images or at ``depth`` (the root has 0) is a leaf.

    Other nodes have as many children as leaves of that size would hold their images, at least 2 and at most
    ``branching``.
    """

    branching: int = option(16, "Tree: most children of a node.", ge=2, le=256)
    leaf_size: int = option(50, "Tree: a node of at most this many images is not split.", ge=1)
    depth: int = option(8, "Tree: most levels below the root.", ge=1, le=32)
    seed: int = option(0, _SEED, ge=0)

    def children(self, count: int, depth: int) -> int:
        """Return how many children a node of ``count`` images gets."""
        if count <= self.leaf_size or depth >= self.depth:
            return 0
        return max(2, min(self.branching, ceil(count / self.leaf_size)))


@dataclass(frozen=True)
class SpaceOptions(Options):
    """In which space images are clustered."""

    reduce: Reduction = option("none", "Reduce the vectors first: by pca or umap.")
    dim: int | None = option(None, "Dimensions to reduce to. [default: pca 64, umap 8]", ge=1)
    seed: int = option(0, _SEED, ge=0)


@dataclass(frozen=True)
class GridOptions(SpaceOptions):
    """Values to try for each parameter of the flat methods, as ``METHODS`` names them.

    Without values a grid that suits the images is tried.
    """

    clusters: tuple[int, ...] = option((), "Numbers of clusters; several values make a grid.")
    max_iter: tuple[int, ...] = option((), "k-means, Gaussian mixture: most iterations.")
    eps: tuple[float, ...] = option(
        (), "DBSCAN: within which distance (1 - cosine similarity) images are neighbours."
    )
    min_samples: tuple[int, ...] = option((), "DBSCAN, HDBSCAN: neighbours of a core image.")
    min_cluster_size: tuple[int, ...] = option((), "HDBSCAN: fewest images of a cluster.")
    linkage: tuple[Linkage, ...] = option((), "Agglomerative: average, complete or ward.")
    covariance: tuple[Covariance, ...] = option((), "Gaussian mixture: diag, spherical, tied or full.")

    @property
    def grid(self) -> dict[str, Sequence[Any]]:
        """The parameters that are given, with their values."""
        names = {name for method in METHODS.values() for name in method.parameters}
        return {name: values for name, values in vars(self).items() if name in names and values}


@dataclass(frozen=True)
class ClusterOptions(TreeOptions, GridOptions):
    """How a run is made: a tree by k-means, or the best of a grid of one flat method."""

    method: str = option("tree", f"tree, or flat: {', '.join(METHODS)}.")
    choose: int | None = option(None, "Flat: take this fit of the table instead of the best.", ge=1)
    stability: int = option(0, "Fit again with this many other seeds and tell how far they agree.", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method != "tree":
            get_method(self.method)
        flat = [*self.grid, *(["reduce"] if self.reduce != "none" else [])]
        if self.method == "tree" and flat:
            raise BadRequest(
                f"The tree does not take {', '.join(flat)}: choose another method, or give "
                "branching, leaf_size and depth."
            )


@dataclass(frozen=True)
class CompareOptions(GridOptions):
    """Which methods are tried, on which images."""

    method: tuple[str, ...] = option((), f"Only this: {', '.join(METHODS)}; again: more. [default: all]")
    sample: int | None = option(None, "Only this many images, drawn at random.", ge=2)
    stability: int = option(0, "Fit the best again with this many other seeds.", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.method:
            get_method(name)


@dataclass(frozen=True)
class DendrogramOptions(SpaceOptions):
    """How images are merged step by step, and where the merges are cut into clusters."""

    linkage: Linkage = option("average", "The distance of two clusters.")
    sample: int | None = option(None, "Only this many images, drawn at random.", ge=2)
    top: int | None = option(
        None, "Only the merges above this many clusters. [default: all; drawn: 30]", ge=2
    )
    clusters: int | None = option(None, "Cut it into this many clusters.", ge=1)
    distance: float | None = option(None, "Cut it at this distance.", ge=0)
    names: str = option("id", "The field that images are called by: id, filename, ...")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clusters is not None and self.distance is not None:
            raise BadRequest("Cut at a number of clusters or at a distance, not both.")


@dataclass(frozen=True)
class PixelOptions(Options):
    """How pictures are compared. ``stage``: "batch" alone, "merge" the groups of the run in service, "all".

    ``propose``: compare only the pairs that embeddings ("embedding": of at least ``similarity``, the nearest
    ``neighbours`` of each image) or stored perceptual hashes ("hash": within ``band`` bits) propose.
    ``time_budget`` in seconds from the call on: where it ends, a checkpoint is left.
    """

    measure: PixelMeasure = option("ssim", "How alike two pictures are.")
    stage: Literal["batch", "merge", "all"] = option(
        "all", "batch: within batches alone; merge: the groups of the run; all: both."
    )
    batch_size: int = option(100, "Images compared with each other at a time.", ge=2)
    scale: int | None = option(
        None, "Longest side in pixels at which pictures are compared. [default: the measure's]"
    )
    threshold: float | None = option(
        None, "Least similarity to the representative. [default: the measure's]", gt=0, le=1
    )
    workers: int | None = option(None, "Threads. [default: one a core]", ge=1, le=64)
    time_budget: float | None = option(
        None, "End after this many seconds, with exit code 4; the same command goes on.", gt=0
    )
    propose: Literal["none", "embedding", "hash"] = option(
        "none", "Compare only pairs that embeddings or hashes propose; none: batches and merging."
    )
    similarity: float = option(0.8, "Proposed by embedding: least similarity.", gt=0, le=1)
    neighbours: int = option(16, "Proposed by embedding: nearest of each image.", ge=1, le=1_000)
    band: int = option(10, "Proposed by hash: most bits that differ.", ge=0, le=15)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.propose != "none" and self.stage != "all":
            raise BadRequest("Proposed pairs are verified in one go: leave stage out, or propose.")

    @property
    def parameters(self) -> dict[str, Any]:
        """What the result depends on; for the run's manifest."""
        by = {"embedding": ("similarity", "neighbours"), "hash": ("band",), "none": ()}[self.propose]
        names = ("measure", "stage", "threshold", "scale", *(() if by else ("batch_size",)), "propose", *by)
        return {name: value for name, value in vars(self).items() if name in names}


@dataclass(frozen=True)
class PairOptions(Options):
    """Which pairs a person judges. ``low``: the lower end of the range of similarities."""

    measure: PairMeasure = option("embedding", "By embedding, or by pixels.")
    using: str | None = option(None, "The named vector. [default: the category's]")
    pairs: int | None = option(
        None, "Pairs to judge. [default: as many as the file has; 60 in a new one]", ge=10, le=2_000
    )
    images: int | None = option(
        None, "Images drawn to find pairs. [default: 2,000 by embedding, else 300]", ge=2
    )
    neighbours: int = option(
        10, "By pixels: nearest by embedding that an image is compared with.", ge=1, le=100
    )
    low: float | None = option(
        None,
        "Only pairs of this similarity or more. [default: the top 1 % by embedding, else the upper half]",
        ge=-1,
        lt=1,
    )
    bins: int = option(12, "Parts of the range, asked about in turns.", ge=2, le=100)
    seed: int = option(0, _SEED, ge=0)

    @property
    def wanted(self) -> int:
        return self.pairs or 60

    @property
    def drawn(self) -> int:
        return self.images or (2_000 if self.measure == "embedding" else 300)
