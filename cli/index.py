"""``vitrine index``: fill a category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.options import CategoryOption, ColumnOption, JsonOption
from vitrine.cli.output import debugging, finish, note, show_progress, tell_undo, telling
from vitrine.cli.with_options import with_options
from vitrine.indexer.ingest.sync.options import SyncOptions
from vitrine.indexer.sources.options import SourceOptions
from vitrine.services.errors import BadSource, NotFound
from vitrine.services.values.kinds import column_kinds

if TYPE_CHECKING:
    from vitrine.indexer.ingest.import_json import ClusteredPictures
    from vitrine.indexer.job.report import IndexReport, NearDuplicates
    from vitrine.indexer.sources.patience import Patience
    from vitrine.indexer.sources.records import Source
    from vitrine.services.domain import EncoderSpec, IndexKind
    from vitrine.services.runtime import Runtime

app = typer.Typer(
    no_args_is_help=True, help="Index images: from folders, archives and manifests, or from an older system."
)
CreateOption = Annotated[bool, typer.Option("--create", help="Create the category if it does not exist.")]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option("--encoder", "-e", metavar="REF", help="With --create: its encoder; again: more."),
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, max=1024, help="Images a write. [default: 128]")
]
RefusedOption = Annotated[
    Path | None,
    typer.Option("--refused", metavar="FILE", help="Write what was refused and why, a JSON object a line."),
]
SkippedOption = Annotated[
    Path | None,
    typer.Option(
        "--skipped", metavar="FILE", help="Write which files are hidden or no pictures, a JSON object a line."
    ),
]


@app.command()
@with_options
def add(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, archive (zip, tar), manifest (csv, jsonl, parquet), list of URLs (a "
            "text, one a line), a picture or its URL, or objects:PREFIX (object store).",
        ),
    ],
    category: CategoryOption,
    options: SourceOptions,
    create: CreateOption = False,
    encoder: EncoderOption = None,
    column: ColumnOption = None,
    near_duplicates: Annotated[
        Literal["ignore", "tell", "skip"],
        typer.Option(
            "--near-duplicates",
            help="Name new images that are copies or versions of others; skip: do not index copies.",
        ),
    ] = "ignore",
    refused: RefusedOption = None,
    skipped: SkippedOption = None,
    batch_size: BatchSizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index images into a category. Images that it holds already only get what is new. Exit 3: some were
    refused."""
    from vitrine.indexer.job.report import skipped_file
    from vitrine.indexer.sources.open import open_source
    from vitrine.indexer.sources.patience import Patience

    _check_usage(create, encoder)
    kinds = column_kinds(column or ())
    with stores(ctx, make_data=create) as runtime, skipped_file(skipped) as on_skipped:
        options = replace(
            options,
            tags=_split(options.tags),
            kinds=kinds,
            max_bytes=runtime.limits.max_bytes,
            without=runtime.settings.data,
            on_skipped=on_skipped,
        )
        patience = Patience(runtime.settings.outage_seconds)
        records = open_source(
            source,
            options=options,
            objects=runtime.objects,
            patience=patience,
            downloads=runtime.downloads,
            limits=runtime.limits,
            budget=runtime.budget,
        )
        _ensure_category(runtime, category, create, encoder or ())
        report = _add(
            runtime,
            category,
            records,
            batch_size=batch_size,
            refused=refused,
            near_duplicates=near_duplicates,
            kinds=kinds,
            patience=patience,
        )
    finish(report, as_json=as_json)


@app.command()
@with_options
def sync(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder that the category is to follow.")
    ],
    category: CategoryOption,
    options: SyncOptions,
    create: CreateOption = False,
    encoder: EncoderOption = None,
    refused: RefusedOption = None,
    skipped: SkippedOption = None,
    batch_size: BatchSizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a category like a folder: new files are added, images whose file is gone leave for the bin, moved
    ones keep what was said of them. Files that have not changed are not read. Exit 3: some were refused."""
    from vitrine.indexer.ingest.pipeline import BATCH_SIZE
    from vitrine.indexer.ingest.sync.sync import sync_folder
    from vitrine.indexer.job.report import skipped_file

    _check_usage(create, encoder)
    options = replace(options, tags=_split(options.tags))
    with stores(ctx, make_data=create) as runtime, skipped_file(skipped) as on_skipped:
        _ensure_category(runtime, category, create, encoder or ())
        report = sync_folder(
            runtime,
            category,
            folder,
            options,
            batch_size=batch_size or BATCH_SIZE,
            refused=refused,
            on_skipped=on_skipped,
            progress=show_progress(),
            note=note,
        )
    tell_undo(report.undo)
    finish(report, as_json=as_json)


@app.command()
def urls(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="LIST", help="A text with a URL a line, or a table (csv, jsonl).")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Ask each URL for its first bytes: is there a picture?")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The clean list. [default: LIST.clean beside it]"),
    ] = None,
    dropped: Annotated[
        Path | None,
        typer.Option(
            "--dropped", metavar="FILE", help="What was dropped and why, as CSV. [default: LIST.dropped.csv]"
        ),
    ] = None,
    path_column: Annotated[
        str | None, typer.Option("--path-column", metavar="COLUMN", help="The table's column of URLs.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Clean a list of URLs before it is indexed: doubles, what is no URL, what must not be asked; with
    --check also what is dead or no picture."""
    from vitrine.indexer.ingest.clean_urls import clean_urls
    from vitrine.services.download.downloader import Downloader, DownloadLimits
    from vitrine.services.download.rules import Rules

    settings = read_settings(ctx)
    with (
        closing(Downloader(Rules.of(settings), DownloadLimits.of(settings))) as downloads,
        telling() as tell,
    ):
        report = clean_urls(
            source,
            to or source.with_name(f"{source.stem}.clean{source.suffix}"),
            dropped or source.with_name(f"{source.stem}.dropped.csv"),
            downloads,
            check=check,
            column=path_column,
            tell=tell,
        )
    finish(report, as_json=as_json)


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="input-metadata.json with hashes, tags and vectors, a folder of such files, a tree of "
            "clusters as JSON, or a CSV file,class,label.",
        ),
    ],
    category: CategoryOption,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", metavar="FOLDER", help="Where its pictures lie. [default for trees, CSV: its folder]"
        ),
    ] = None,
    vector_name: Annotated[
        str, typer.Option("--vector-name", help="JSON: the name of its vectors here.")
    ] = "adopted",
    vector_model: Annotated[
        str, typer.Option("--vector-model", help="JSON: the model that made them, as a note.")
    ] = "unknown",
    run: Annotated[
        str, typer.Option("--run", metavar="NAME", help="Of a tree of clusters: the cluster run.")
    ] = "imported",
    create: CreateOption = False,
    encoder: EncoderOption = None,
    refused: RefusedOption = None,
    batch_size: BatchSizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over a collection of an older system. Its vectors are kept as they are: they can be searched by id
    and vector.

    With --create --encoder REF the pictures get an encoder's vectors as well, for searches by picture and
    text. A tree of clusters (nodes with children and images) becomes a cluster run of the pictures that it
    names.
    """
    from vitrine.indexer.ingest.import_json import ClusteredPictures, NamedPictures, clusters_of, json_files
    from vitrine.indexer.ingest.importers import VectorDump, open_class_table

    _check_usage(create, encoder)
    if not file.exists():
        raise BadSource(f"There is no file {file}.")
    table = file.suffix.lower() == ".csv"
    clusters = None if table else clusters_of(json_files(file))
    around = images or (file if file.is_dir() else file.parent)
    with stores(ctx, make_data=create) as runtime, telling() as tell:
        source: Source
        if table:
            source = open_class_table(file, root=images, max_bytes=runtime.limits.max_bytes)
        elif clusters is not None:
            source = ClusteredPictures(file.name, clusters, NamedPictures(around), runtime.limits.max_bytes)
        elif images is None:
            raise typer.BadParameter("--images must name the folder where the pictures lie.")
        else:
            source = VectorDump(
                file,
                images,
                vector_name=vector_name,
                vector_model=vector_model,
                threads=runtime.settings.threads,
                limits=runtime.limits,
                budget=runtime.budget,
                progress=partial(tell, "identifying"),
            )
        adopted = source.spec if isinstance(source, VectorDump) and source.has_vectors else None
        _ensure_category(runtime, category, create, encoder or (), adopted)
        report = _add(runtime, category, source, batch_size=batch_size, refused=refused)
        if isinstance(source, ClusteredPictures) and report.error is None and not report.interrupted:
            report.notes += _cluster_imported(runtime, category, run, source)
    finish(report, as_json=as_json)


def _add(
    runtime: Runtime,
    category: str,
    source: Source,
    *,
    batch_size: int | None,
    refused: Path | None,
    near_duplicates: NearDuplicates = "ignore",
    kinds: Mapping[str, IndexKind] | None = None,
    patience: Patience | None = None,
) -> IndexReport:
    """Index a source with progress on stderr."""
    from vitrine.indexer.ingest.add import add_images
    from vitrine.indexer.ingest.pipeline import BATCH_SIZE
    from vitrine.indexer.job.progress import make_progress

    report = add_images(
        runtime,
        category,
        source,
        batch_size=batch_size or BATCH_SIZE,
        near_duplicates=near_duplicates,
        kinds=kinds,
        patience=patience,
        refused=refused,
        progress=make_progress(),
        note=note,
    )
    if report.error is not None and report.error.__cause__ is not None and debugging():
        raise report.error
    return report


def _ensure_category(
    runtime: Runtime, name: str, create: bool, encoders: Sequence[str], adopted: EncoderSpec | None = None
) -> None:
    """Make the category with these encoders if it is missing and ``create``. ``adopted``: a named vector that
    is brought along."""
    try:
        runtime.catalog.get(name)
    except NotFound:
        if not create:
            raise NotFound(
                f"There is no category {name!r}: add --create, with --encoder to choose another than "
                f"{runtime.settings.encoder!r}.",
                category=name,
            ) from None
        made = runtime.create_category(name, encoders, adopted=[adopted] if adopted else [], note=note)
        note(f"Created category {name!r} with {', '.join(spec.name for spec in made.encoders)}.")
    else:
        if adopted:
            runtime.catalog.add_encoder(name, adopted)


def _cluster_imported(runtime: Runtime, category: str, run: str, source: ClusteredPictures) -> list[str]:
    """Write the clusters that came with the pictures, and return notes about them."""
    from vitrine.indexer.enrich.clusters.runs import cluster

    if not source.found:
        return ["No picture of the tree is in the category, so there is no cluster run."]
    found = cluster(runtime, category, run, source.fit, progress=show_progress())
    return [f"Its clusters are the run {run}: vitrine cluster show {run} -c {category}", found.summary()]


def _check_usage(create: bool, encoder: list[str] | None) -> None:
    if encoder and not create:
        raise typer.BadParameter("--encoder is for a new category: add --create.")


def _split(tags: Iterable[str]) -> tuple[str, ...]:
    """Return ``--tags red,mug --tags sale`` as a tuple."""
    return tuple(tag for text in tags for tag in text.split(",") if tag.strip())
