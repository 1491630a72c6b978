"""``vitrine cluster compare`` and ``dendrogram``: clusterings tried and judged. Neither writes anything to
the category."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, UsingOption
from vitrine.cli.output import note, print_json, print_table, telling
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.clusters.options import CompareOptions, DendrogramOptions


@with_options
def compare(
    ctx: typer.Context,
    category: CategoryOption,
    options: CompareOptions,
    using: UsingOption = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="FIELD", help="Compare with this field too, such as class: NMI, ARI, purity."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Draw the scores (.png, .svg, .pdf).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Try clusterings with grids of parameters and say which is best, by mean rank.

    Ranked are silhouette, Calinski-Harabasz, Davies-Bouldin and, where any fit has noise, its share.

    Nothing is written to the category: `vitrine cluster run` does that with the parameters that you choose.
    """
    from vitrine.indexer.enrich.clusters.compare import compare as compare_methods
    from vitrine.indexer.enrich.clusters.flat.grid import COLUMNS, grid_table, in_words
    from vitrine.indexer.export.clusters.plots import draw_grid

    with stores(ctx) as runtime, telling(as_json) as tell:
        found = compare_methods(runtime, category, options, using=using, against=against, tell=tell)
    if to is not None:
        draw_grid(found.grid, to)
    if as_json:
        print_json({**found.to_json(), "to": str(to) if to else None})
        return
    rows, best = found.grid["rows"], found.grid["best"]
    more = ("nmi", "ari", "purity") if against else ()
    lines = [
        [*line, *(row[name] for name in more)] for line, row in zip(grid_table(found.grid), rows, strict=True)
    ]
    print_table((*COLUMNS, *more), lines, right=("#", *COLUMNS[4:11], *more))
    if best is None:
        note("No fit makes two clusters or more: try other parameters.")
    else:
        row = rows[best - 1]
        note(f"Best: {row['method']} with {in_words(row['parameters'])}, {row['clusters']} clusters.")
    if steady := found.stability:
        said = (
            f"adjusted Rand index {steady['mean']:.3f} on average, {steady['least']:.3f} at least, over "
            f"{steady['runs']} runs"
        )
        note(f"With other seeds: {said if steady['seeded'] else 'the same, this method draws nothing'}.")
    for line in [*found.notes, *([f"Written: {to}"] if to else [])]:
        note(line)
    note(f"Scores were computed in: {found.space}.")


@with_options
def dendrogram(
    ctx: typer.Context,
    category: CategoryOption,
    options: DendrogramOptions,
    using: UsingOption = None,
    to: Annotated[
        list[Path] | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Write it: .json nests {name, distance, count, children}; .png, .svg and .pdf draw its top; "
            "again: more files.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge the images of a category step by step, up to some 20,000, and export the dendrogram or cut it
    into clusters."""
    from vitrine.indexer.enrich.clusters.compare import make_dendrogram
    from vitrine.indexer.export.clusters.plots import write_dendrogram
    from vitrine.services.extras import require_extra
    from vitrine.services.files import PLOTS

    if any(path.suffix.lower() in PLOTS for path in to or ()):
        require_extra("matplotlib", "cluster")  # said before the work, not after
    with stores(ctx) as runtime, telling(as_json) as tell:
        found = make_dendrogram(runtime, category, options, using=using, tell=tell)
    for path in to or ():
        write_dendrogram(found.merges, path, found.names, options.top)
    merges, sizes = found.merges, found.sizes
    largest = float(merges.distances[-1])
    if as_json:
        labels = None if found.labels is None else dict(zip(found.ids, found.labels.tolist(), strict=True))
        print_json(
            {
                "category": category,
                "using": found.using,
                "images": merges.images,
                "of": found.of,
                "linkage": options.linkage,
                "largest_distance": round(largest, 6),
                "clusters": len(sizes) if sizes else None,
                "sizes": sizes,
                "labels": labels,
                "to": [str(path) for path in to or ()],
            }
        )
        return
    note(
        f"{merges.images} images, merged into one at a distance of {largest:.4f} ({options.linkage} linkage)."
    )
    if sizes:
        print_table(("cluster", "images"), list(enumerate(sizes)), right=("images",))
    for path in to or ():
        note(f"Written: {path}")
