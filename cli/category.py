"""``vitrine category``: make, look at and delete categories."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.options import JsonOption, YesOption
from vitrine.cli.output import confirm, finish, note, print_json, print_pairs, print_table, show_progress
from vitrine.services.errors import lost_with_points

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.runtime import Runtime

app = typer.Typer(no_args_is_help=True, help="Create, list, show and delete categories: image collections.")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The category.")]
_QUANTIZATION = (
    "Smaller copies of the vectors, which searches look through first: int8 or turbo4 (4 bits). For hundreds "
    "of thousands of images."
)
_REFERENCE = "clip, vit, demo, colour, name=model[@revision], a folder or a hub name"


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 63 of a-z, 0-9, - and _.")],
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            "-e",
            metavar="REF",
            help=f"{_REFERENCE}; again: more. [default: VITRINE_ENCODER or clip]",
        ),
    ] = None,
    description: Annotated[str, typer.Option("--description", "-d", help="What it holds.")] = "",
    quantization: Annotated[
        Literal["none", "int8", "turbo4"],
        typer.Option("--quantization", help=f"{_QUANTIZATION} It can be changed: vitrine category quantize."),
    ] = "none",
    as_json: JsonOption = False,
) -> None:
    """Create an empty category, bound to the revision of its encoders."""
    form = None if quantization == "none" else quantization
    with stores(ctx, make_data=True) as runtime:
        category = runtime.create_category(name, encoder or (), description, quantization=form, note=note)
        tree = category_json(runtime, category)
    if as_json:
        print_json(tree)
        return
    names = ", ".join(f"{spec.name} ({spec.dim} dimensions)" for spec in category.encoders)
    note(f"Created category {name!r} with {names}. Fill it: vitrine index add FOLDER -c {name}")


@app.command("list")
def list_categories(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List all categories."""
    from vitrine.services.runtime import has_data

    settings = read_settings(ctx)
    trees, others = [], []
    if has_data(settings):
        with stores(ctx, start=False) as runtime:
            others = runtime.catalog.remains()
            faulty = {other.name for other in others}
            trees = [
                category_json(runtime, category)
                for category in runtime.catalog.list()
                if category.name not in faulty
            ]
    else:
        note(f"There is no data folder {settings.data} yet (--data or VITRINE_DATA names it).")
    if as_json:
        print_json({"categories": trees, "others": [asdict(other) for other in others]})
        return
    if not trees and not others:
        note("There is no category yet: vitrine category create NAME, or vitrine demo.")
        return
    rows = [
        (
            tree["name"],
            tree["images"],
            [spec["name"] for spec in tree["encoders"]],
            tree["created_at"][:10],
            tree["description"],
        )
        for tree in trees
    ]
    rows += [(other.name, "", [], "", other.state) for other in others]
    print_table(("category", "images", "encoders", "created", "description"), sorted(rows), right=("images",))
    for other in others:
        note(f"{other.name} ({other.state}): {other.message}")


@app.command()
def show(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Show a category: its encoders, counts and the fields that can be filtered."""
    with stores(ctx, start=False) as runtime:
        tree = category_json(runtime, runtime.catalog.get(name))
    if as_json:
        print_json(tree)
        return
    encoders = {f"encoder {spec['name']}": _encoder_line(spec) for spec in tree["encoders"]}
    fields = {"fields": ", ".join(f"{field} ({kind})" for field, kind in sorted(tree["indexes"].items()))}
    aliases = {
        alias: f"{names[0]} (before: {', '.join(names[1:]) or 'none'})"
        for alias, names in tree["promoted"].items()
    }
    fields |= {"default": tree["default"] or tree["encoders"][0]["name"]}
    fields |= {"quantization": tree["quantization"] or "none"}
    plain = ("name", "description", "images", "indexed_vectors", "status", "created_at", "updated_at")
    print_pairs({key.replace("_", " "): tree[key] for key in plain} | encoders | aliases | fields)


@app.command()
def delete(
    ctx: typer.Context,
    name: NameArgument,
    keep_images: Annotated[
        bool | None,
        typer.Option(
            "--keep-images/--delete-images",
            help="Whether the pictures stay in the object store, to be indexed again. [default: only if the "
            "category is damaged]",
        ),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a category with all its images, or what an interrupted deletion has left of one. Asks first."""
    with stores(ctx) as runtime:
        kept = runtime.catalog.keeps_images(name)
        keep = kept if keep_images is None else keep_images
        images = _count(runtime, name)
        loss = f"its {images} images stay in the object store" if keep else f"its {images} images go for good"
        confirm(f"Delete category {name!r}? {loss.capitalize()}.", yes)
        runtime.catalog.delete(name, keep_images=keep)
    source = f"objects:{name}/images/"
    if as_json:
        print_json({"category": name, "deleted": images} | ({"images_kept": source} if keep else {}))
        return
    note(f"Deleted category {name!r}" + ("." if keep else f" with {images} images."))
    if keep and images:
        note(
            f"Its {images} images are kept: vitrine category create {name} (with its encoders), then "
            f"vitrine index add {source} -c {name}. {lost_with_points(name)}"
        )


@app.command("add-encoder")
def add_encoder(
    ctx: typer.Context,
    name: NameArgument,
    reference: Annotated[str, typer.Argument(metavar="REF", help=_REFERENCE + ".")],
    as_json: JsonOption = False,
) -> None:
    """Add an encoder, also to a filled category: `vitrine category fill` then embeds the images that are
    there.

    A folder is copied into the object store, so that every server can load it, wherever it was started.
    """
    with stores(ctx) as runtime:
        category = runtime.add_encoder(name, reference, note=note)
        tree = category_json(runtime, category)
    if as_json:
        print_json(tree)
        return
    added = f"Category {name!r} has the encoders {', '.join(spec.name for spec in category.encoders)}."
    note(added + (f" Embed its images: vitrine category fill {name}" if tree["images"] else ""))


@app.command()
def default(
    ctx: typer.Context,
    name: NameArgument,
    using: Annotated[
        str | None,
        typer.Argument(
            metavar="[ENCODER]", help="One of its encoders or promoted names. Without: say which it is."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set which encoder answers the queries of a category that name none with --using."""
    from vitrine.indexer.enrich.vectors.reembed import lacks

    with stores(ctx) as runtime:
        before = runtime.catalog.get(name)
        category = before if using is None else runtime.catalog.set_default(name, using)
        lacking = runtime.vectors.count(name, lacks(category.encoder().name))
    chosen = category.default or category.encoders[0].name
    if as_json:
        print_json(
            {
                "category": name,
                "default": chosen,
                "vector": category.encoder().name,
                "before": before.encoder().name,
            }
        )
        return
    if lacking:
        note(
            f"{lacking} images lack its vector and are not found by it: vitrine category fill {name} "
            f"--using {chosen}"
        )
    behind = "" if category.encoder().name == chosen else f" (now {category.encoder().name})"
    typer.echo(f"Queries of {name!r} without --using are answered by {chosen}{behind}.")


@app.command()
def quantize(
    ctx: typer.Context,
    name: NameArgument,
    form: Annotated[
        Literal["none", "int8", "turbo4"] | None,
        typer.Argument(metavar="[none|int8|turbo4]", help=f"{_QUANTIZATION} Without: say which it is."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set whether the search index holds quantised copies of the vectors, build it anew, and say what it
    finds.

    The vectors themselves are kept, and decide the order of hits. Searches go on meanwhile.
    """
    from vitrine.services.search.index_recall import index_recall

    with stores(ctx) as runtime:
        category = runtime.catalog.get(name)
        if form is not None:
            category = runtime.catalog.set_quantization(name, None if form == "none" else form)
            note("Building the search index; Ctrl-C leaves that for later.")
            runtime.vectors.optimize(name)
        found = None
        if runtime.vectors.count(name):
            found = index_recall(runtime.vectors, name, category.encoder().name)
    if as_json:
        measured = None if found is None else found.to_json()
        print_json({"category": name, "quantization": category.quantization, "index": measured})
        return
    typer.echo(f"Quantised copies in the search index of {name!r}: {category.quantization or 'none'}.")
    if found is not None:
        typer.echo(
            f"It finds {found.recall:.1%} of the {found.limit} nearest ({found.queries} images asked), in "
            f"{found.milliseconds:.1f} ms; comparing all vectors takes {found.exact_milliseconds:.1f} ms."
        )


@app.command()
def optimize(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Bring all vectors under the search index, which commands that add many do themselves. Searches go on
    meanwhile."""
    with stores(ctx) as runtime:
        runtime.catalog.get(name)
        note("Building the search index; Ctrl-C leaves that for later.")
        runtime.vectors.optimize(name)
        info = runtime.vectors.info(name)
    if as_json:
        print_json({"category": name, "images": info.points, "indexed_vectors": info.indexed})
        return
    typer.echo(f"{info.indexed} vectors of {name!r} are in its search index.")


@app.command()
def fill(
    ctx: typer.Context,
    name: NameArgument,
    using: Annotated[
        list[str] | None,
        typer.Option(
            "--using",
            metavar="ENCODER",
            help="Only this encoder's vector; again: more. [default: all in service]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Embed the images that lack an encoder's vector, from the stored pictures. Exit 3: some pictures cannot
    be read."""
    from vitrine.indexer.enrich.vectors.reembed import fill_category

    with stores(ctx) as runtime:
        reports = fill_category(runtime, name, using, progress=show_progress(), note=note)
    if as_json:
        print_json({"category": name, "vectors": [report.to_json() for report in reports]})
    else:
        typer.echo(
            "\n".join(report.summary() for report in reports)
            or "There is no encoder that could embed its images."
        )
    code = reports[-1].exit_code or max(report.exit_code for report in reports) if reports else 0
    if code:
        raise typer.Exit(code)


@app.command()
def rebuild(
    ctx: typer.Context, name: NameArgument, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Make the collection of a category again, damaged or not, from its pictures, its manifest and its
    journal. Asks first: embeddings are computed anew, maps and cluster runs have to be made again."""
    from vitrine.indexer.check.rebuild import rebuild_category

    with stores(ctx) as runtime:
        runtime.catalog.manifest(name)
        confirm(f"Drop the collection of {name!r} and index all its pictures again?", yes)
        report = rebuild_category(runtime, name, progress=show_progress())
    finish(report, as_json=as_json)


def _count(runtime: Runtime, name: str) -> int:
    """Count the images of a category; if it is damaged, the pictures in the object store."""
    from vitrine.services.errors import NotFound, StoreDamaged
    from vitrine.services.object_store.base import list_keys

    try:
        return runtime.vectors.count(name)
    except (NotFound, StoreDamaged):
        return len(list_keys(runtime.objects, f"{name}/images/"))


def category_json(runtime: Runtime, category: Category) -> dict[str, Any]:
    """Return a category as ``--json`` prints it, with the present counts."""
    from vitrine.services.category.catalog import spec_to_json

    info = runtime.vectors.info(category.name)
    return {
        "name": category.name,
        "description": category.description,
        "images": info.points,
        "indexed_vectors": info.indexed,
        "status": info.status,
        "encoders": [spec_to_json(spec) for spec in category.encoders],
        "promoted": {alias: list(names) for alias, names in category.promoted.items()},
        "default": category.default,
        "quantization": category.quantization,
        "indexes": dict(category.indexes),
        "created_at": category.created_at,
        "updated_at": category.updated_at,
    }


def _encoder_line(spec: dict[str, Any]) -> str:
    reads = " and ".join(spec["modalities"])
    return f"{spec['model']} at {spec['revision'][:19]}, {spec['dim']} dimensions, reads {reads}"
