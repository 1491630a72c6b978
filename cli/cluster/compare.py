"""``vitrine cluster compare`` and ``dendrogram``: clusterings tried and judged. Neither writes anything to
the category."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.cluster.options import (
    ClustersOption,
    CovarianceOption,
    DimOption,
    EpsOption,
    LinkageOption,
    MaxIterOption,
    MinClusterSizeOption,
    MinSamplesOption,
    ReduceOption,
    SampleOption,
    SeedOption,
    UsingOption,
    parse_grid,
)
from vitrine.cli.context import stores
from vitrine.cli.metric.progress import Progress
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_table
from vitrine.indexer.enrich.clusters.flat.methods import METHODS
from vitrine.services.errors import BadRequest

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.flat.grid import GridResult
    from vitrine.indexer.enrich.clusters.flat.reduce import Reduced
    from vitrine.indexer.enrich.clusters.stored_vectors import StoredVectors


def compare(
    ctx: typer.Context,
    category: CategoryOption,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="METHOD",
            help=f"{', '.join(METHODS)}; again: more. [default: all]",
        ),
    ] = None,
    using: UsingOption = None,
    clusters: ClustersOption = None,
    eps: EpsOption = None,
    min_samples: MinSamplesOption = None,
    min_cluster_size: MinClusterSizeOption = None,
    max_iter: MaxIterOption = None,
    linkage: LinkageOption = None,
    covariance: CovarianceOption = None,
    reduce: ReduceOption = "none",
    dim: DimOption = None,
    sample: SampleOption = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="FIELD", help="Compare with this field too, such as class: NMI, ARI, purity."
        ),
    ] = None,
    stability: Annotated[
        int, typer.Option("--stability", min=0, metavar="N", help="Fit the best again with N seeds.")
    ] = 0,
    seed: SeedOption = 0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the scores.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Try clusterings with grids of parameters and say which is best, by mean rank.

    Ranked are silhouette, Calinski-Harabasz, Davies-Bouldin and, where any fit has noise, its share.

    Nothing is written to the category: ``vitrine cluster run`` does that with the parameters that you choose.
    """  # fmt: skip
    from vitrine.indexer.export.clusters.plots import draw_grid

    given = {
        "clusters": clusters,
        "eps": eps,
        "min_samples": min_samples,
        "min_cluster_size": min_cluster_size,
        "max_iter": max_iter,
        "linkage": linkage,
        "covariance": covariance,
    }
    progress = Progress()
    tell = None if as_json else progress.tell
    try:
        stored, reduced = _load(
            ctx, category, using, reduce, dim, sample, seed, (against,) if against else (), tell
        )
        result = _tried(reduced, method, given, seed, tell)
        steady = _steady(reduced, result, stability, seed) if stability else None
    finally:
        progress.close()
    truth = _against(result, stored) if against else None
    if plot is not None:
        draw_grid(result, plot)
    if as_json:
        tree = result.to_json()
        for row, found in zip(tree["rows"], truth or [{}] * len(tree["rows"]), strict=True):
            row.update(found)
        print_json(
            {
                "category": category,
                "using": stored.using,
                "images": len(stored.ids),
                "of": stored.total,
                "reduce": reduce,
                "space": reduced.space,
                "seed": seed,
                "stability": steady,
                **tree,
                "notes": result.notes,
                "plot": str(plot) if plot else None,
            }
        )
        return
    _print(result, truth, steady, plot)
    note(f"Scores were computed in: {reduced.space}.")


def dendrogram(
    ctx: typer.Context,
    category: CategoryOption,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.json", help="Write it as JSON: {name, distance, count, children}."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw its top.")] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", min=2, metavar="N", help="Only the merges above N clusters. [default: all; drawn: 30]"
        ),
    ] = None,
    clusters: Annotated[
        int | None, typer.Option("--clusters", min=1, metavar="K", help="Cut it into K clusters.")
    ] = None,
    distance: Annotated[
        float | None, typer.Option("--distance", min=0, help="Cut it at this distance.")
    ] = None,
    linkage: Annotated[str, typer.Option("--linkage", help="average, complete or ward.")] = "average",
    names: Annotated[
        str, typer.Option("--names", metavar="FIELD", help="What images are called: id, filename, ...")
    ] = "id",
    using: UsingOption = None,
    reduce: ReduceOption = "none",
    dim: DimOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Merge the images of a category step by step, up to some 20,000, and export the dendrogram or cut it
    into clusters."""
    import numpy as np

    from vitrine.indexer.enrich.clusters.tree.dendrogram import merge
    from vitrine.indexer.export.clusters.dendrogram_export import write_json
    from vitrine.indexer.export.clusters.plots import TOP, draw_dendrogram
    from vitrine.services.files import make_folder, unwritable
    from vitrine.services.values.field_paths import value_at

    if clusters is not None and distance is not None:
        raise BadRequest("Cut at --clusters or at --distance, not both.")
    progress = Progress()
    tell = None if as_json else progress.tell
    try:
        fields = () if names == "id" else (names,)
        stored, reduced = _load(ctx, category, using, reduce, dim, sample, seed, fields, tell)
        merges = merge(reduced.x, linkage, reduced.geometry, progress=_named(tell, "merging"))  # type: ignore[arg-type]
    finally:
        progress.close()
    called = list(stored.ids)
    if names != "id":
        called = [
            str(value_at(payload, stored.fields[0]) or id)
            for id, payload in zip(stored.ids, stored.payloads, strict=True)
        ]
    if out is not None:
        try:
            make_folder(out.parent)
            with out.open("w", encoding="utf-8") as file:
                write_json(merges, called, file, clusters=min(top, merges.images) if top else None)
        except OSError as error:
            raise unwritable(out, error) from error
    if plot is not None:
        draw_dendrogram(merges, plot, names=called, top=top or TOP)
    labels = (
        merges.into(clusters)
        if clusters is not None
        else merges.at(distance)
        if distance is not None
        else None
    )
    sizes = sorted(np.bincount(labels).tolist(), reverse=True) if labels is not None else None
    if as_json:
        print_json(
            {
                "category": category,
                "using": stored.using,
                "images": merges.images,
                "of": stored.total,
                "linkage": linkage,
                "largest_distance": round(float(merges.distances[-1]), 6),
                "clusters": len(sizes) if sizes else None,
                "sizes": sizes,
                "labels": dict(zip(stored.ids, labels.tolist(), strict=True)) if labels is not None else None,
                "out": str(out) if out else None,
                "plot": str(plot) if plot else None,
            }
        )
        return
    note(
        f"{merges.images} images, merged into one at a distance of {float(merges.distances[-1]):.4f} "
        f"({linkage} linkage)."
    )
    if sizes:
        print_table(("cluster", "images"), list(enumerate(sizes)), right=("images",))
    for path in (out, plot):
        if path is not None:
            note(f"Written: {path}")


Tell = Callable[[str, int, int], None]


def _named(tell: Tell | None, what: str) -> Callable[[int, int], None] | None:
    return None if tell is None else lambda done, total: tell(what, done, total)


def _load(
    ctx: typer.Context,
    category: str,
    using: str | None,
    how: str,
    dim: int | None,
    sample: int | None,
    seed: int,
    fields: tuple[str, ...],
    tell: Tell | None,
) -> tuple[StoredVectors, Reduced]:
    from vitrine.indexer.enrich.clusters.flat.reduce import reduce
    from vitrine.indexer.enrich.clusters.stored_vectors import read_vectors

    with stores(ctx) as runtime:
        stored = read_vectors(
            runtime.vectors, runtime.catalog.get(category), using, fields=fields, most=sample, seed=seed,
            progress=_named(tell, "reading"),
        )  # fmt: skip
    return stored, reduce(stored.x, how, dim, seed=seed)  # type: ignore[arg-type]


def _tried(
    reduced: Reduced,
    methods: Sequence[str] | None,
    given: dict[str, str | None],
    seed: int,
    tell: Tell | None,
) -> GridResult:
    """All grids as one. Without a choice of methods, those that cannot take so many images are noted and left
    out."""
    from vitrine.indexer.enrich.clusters.flat.grid import fit_grid, together

    wanted: list[Any] = list(dict.fromkeys(methods)) if methods else list(METHODS)
    unknown = [name for name in wanted if name not in METHODS]
    if unknown:
        raise BadRequest(
            f"{unknown[0]!r} is no method: choose among {', '.join(METHODS)}.", method=unknown[0]
        )
    unused = [
        name
        for name, text in given.items()
        if text is not None and not any(name in METHODS[one].parameters for one in wanted)
    ]
    if unused:
        raise BadRequest(
            f"--{unused[0].replace('_', '-')} means nothing to {', '.join(wanted)}.", parameter=unused[0]
        )
    results = []
    for name in wanted:
        try:
            results.append(
                fit_grid(
                    reduced.x,
                    name,
                    parse_grid(name, given),
                    geometry=reduced.geometry,
                    seed=seed,
                    progress=_named(tell, name),
                )
            )
        except BadRequest as error:
            if methods or "most" not in error.details:
                raise
            note(f"Left out: {error.message}")
    return together(results)


def _steady(reduced: Reduced, result: GridResult, runs: int, seed: int) -> dict[str, Any] | None:
    from vitrine.indexer.enrich.clusters.agreement import stability
    from vitrine.indexer.enrich.clusters.flat.flat import fit

    chosen = result.chosen
    if not METHODS[chosen.method].draws:
        return {"mean": 1.0, "least": 1.0, "runs": 1, "seeded": False}
    found = stability(
        lambda other: fit(reduced.x, chosen.method, chosen.parameters, reduced.geometry, seed=other),
        [seed + 1 + number for number in range(runs)],
        result.labels,
    )
    return {**vars(found), "seeded": True}


def _against(result: GridResult, stored: StoredVectors) -> list[dict[str, float]]:
    """Agreement of every fit with the values of the field that was read, over the images that have one."""
    import numpy as np

    from vitrine.indexer.enrich.clusters.agreement import agreement
    from vitrine.services.values.field_paths import value_at

    (field,) = stored.fields
    values = [value_at(payload, field) for payload in stored.payloads]
    said = np.array([value is not None and not isinstance(value, list | dict) for value in values])
    if not said.any():
        raise BadRequest(
            f"No image has one value of {field} to compare with: name a field such as class.", field=field
        )
    classes = [str(value) for value, there in zip(values, said, strict=True) if there]
    return [
        {name: value for name, value in vars(agreement(labels[said], classes)).items()}
        for labels in result.labels_of
    ]


def _print(
    result: GridResult, truth: list[dict[str, float]] | None, steady: dict[str, Any] | None, plot: Path | None
) -> None:
    from vitrine.indexer.enrich.clusters.flat.grid import COLUMNS

    more = ("nmi", "ari", "purity") if truth else ()
    lines = [
        [*line, *(truth[at][name] for name in more)] if truth else line
        for at, line in enumerate(result.table())
    ]
    print_table((*COLUMNS, *more), lines, right=("#", *COLUMNS[4:11], *more))
    if result.best is None:
        note("No fit makes two clusters or more: try other parameters.")
    else:
        note(
            f"Best: {result.chosen.method} with {result.chosen.words}, {result.chosen.scores.clusters} "
            "clusters."
        )
    for line in result.notes:
        note(line)
    if steady is not None:
        said = (
            f"adjusted Rand index {steady['mean']:.3f} on average, {steady['least']:.3f} at least, over "
            f"{steady['runs']} runs"
        )
        note(f"With other seeds: {said if steady['seeded'] else 'the same, it draws nothing'}.")
    if plot is not None:
        note(f"Written: {plot}")
