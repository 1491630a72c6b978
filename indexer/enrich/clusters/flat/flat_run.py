"""Make a cluster run of one level from a grid of flat clusterings."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vitrine.indexer.enrich.clusters.flat.flat import fit
from vitrine.indexer.enrich.clusters.flat.grid import GridResult, fit_grid
from vitrine.indexer.enrich.clusters.flat.methods import Value, get_method
from vitrine.indexer.enrich.clusters.flat.reduce import reduce
from vitrine.indexer.enrich.clusters.options import Reduction
from vitrine.indexer.enrich.clusters.runs import Fit, Fitted, Images
from vitrine.indexer.enrich.clusters.tree.tree import flat_tree
from vitrine.indexer.job.job import Advance


@dataclass
class FlatFit:
    """A ``Fit`` by one method with every combination of ``parameters``; the best, or number ``choose``,
    becomes the run.

    After the call, ``result`` has all of them, and ``space`` says in which space their scores were computed.
    ``reduction``: PCA or UMAP before the clustering, to ``dim`` dimensions.
    """

    method: str
    parameters: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    reduction: Reduction = "none"
    dim: int | None = None
    seed: int = 0
    choose: int | None = None
    stop: threading.Event | None = None
    result: GridResult | None = None
    space: str = ""

    def __call__(self, images: Images, advance: Advance) -> Fitted:
        """Fit the grid. Raises what ``fit_grid`` and ``reduce`` do; ``InterruptedError`` if ``stop`` was set
        before the last fit."""
        x = images.x
        reduced = reduce(x, self.reduction, self.dim, seed=self.seed)
        self.space = reduced.space

        def tell(done: int, fits: int) -> None:
            advance(len(x) * done // fits, len(x))

        found = fit_grid(
            reduced.x,
            self.method,
            self.parameters,
            geometry=reduced.geometry,
            seed=self.seed,
            progress=tell,
            stop=self.stop,
        )
        if found.interrupted:
            raise InterruptedError
        self.result = found = found if self.choose is None else found.choose(self.choose)
        chosen = found.chosen
        parameters = dict(chosen.parameters) | (
            {"reduce": self.reduction} if self.reduction != "none" else {}
        )
        metrics = {
            **chosen.scores.values(),
            "noise": chosen.scores.noise,
            "space": self.space,
            "grid": found.to_json(),
        }
        return Fitted(self.method, flat_tree(x, found.labels), parameters, metrics, self.seed)

    @property
    def draws(self) -> bool:
        """Whether another seed may give another clustering."""
        return get_method(self.method).draws or self.reduction == "umap"

    def reseeded(self, seed: int) -> Fit:
        """Return the chosen fit under another seed, without scores. ``ValueError`` before the first call."""
        if self.result is None:
            raise ValueError("call it once before")
        chosen = dict(self.result.chosen.parameters)

        def again(images: Images, advance: Advance) -> Fitted:
            reduced = reduce(images.x, self.reduction, self.dim, seed=seed)
            labels = fit(reduced.x, self.method, chosen, reduced.geometry, seed=seed)
            advance(len(images.x), len(images.x))
            return Fitted(self.method, flat_tree(images.x, labels), chosen, seed=seed)

        return again
