"""``vitrine encoder``: which encoders there are, and whether one works here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.options import JsonOption, read_picture
from vitrine.cli.output import note, print_json, print_pairs, print_table
from vitrine.services.errors import UnsoundEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitrine.services.encoders.reference import EncoderReference
    from vitrine.services.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List encoders and check that one works on this machine.")
_BATCH = 32


@app.command("list")
def list_encoders(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the presets and the encoders of all categories, and where their weights lie."""
    from vitrine.services.encoders.reference import PRESETS, EncoderReference
    from vitrine.services.runtime import has_data

    settings = read_settings(ctx)
    rows = [{"category": None, **_where(reference, settings)} for reference in PRESETS.values()]
    used = []
    if has_data(settings):
        with stores(ctx) as runtime:
            used = [
                (category.name, spec) for category in runtime.catalog.list() for spec in category.encoders
            ]
    for category, spec in used:
        rows.append(
            {"category": category, **_where(EncoderReference(spec.name, spec.model, spec.revision), settings)}
        )
    if as_json:
        print_json({"default": settings.encoder, "encoders": rows})
        return
    columns = ("name", "category", "model", "revision", "weights")
    print_table(columns, [[(row[column] or "")[:44] for column in columns] for row in rows])
    note(f"New categories get {settings.encoder!r} unless --encoder names another.")


@app.command()
def check(
    ctx: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="A preset, name=model[@revision], a folder or a hub name.")
    ],
    image: Annotated[
        Path | None, typer.Argument(metavar="[IMAGE]", help="A picture to encode as well.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Load an encoder, prove that its vectors are right, and time it on a small batch. Exit 1: they are not
    right."""
    from vitrine.services.encoders.check import check_encoder
    from vitrine.services.encoders.reference import parse_reference

    settings = read_settings(ctx)
    wanted = parse_reference(reference)
    try:
        found = check_encoder(wanted, settings, _pictures(image))
    except UnsoundEncoder as error:
        if not as_json:
            _print_checks(error.details["checks"])
        raise
    answer, proof, first = found.to_json(), found.proof, found.rows[0].tolist()
    if as_json:
        proof.require(wanted.model)
        print_json(
            answer
            | {
                "checks": proof.to_json(),
                "embedding": [round(x, 6) for x in first] if image else None,
            }
        )
        return
    shown = {
        key.replace("_", " "): value
        for key, value in answer.items()
        if key not in ("preprocessing", "cosine_to_float32", "runtimes") and value is not None
    }
    shown["preprocessing"] = ", ".join(f"{key} {value}" for key, value in answer["preprocessing"].items())
    if found.precision in ("bfloat16", "int8"):
        cosines = found.cosines
        shown["cosine to float32"] = f"{cosines.min():.5f} at least, {cosines.mean():.5f} on average"
    print_pairs(shown)
    _print_checks(proof.to_json())
    _print_runtimes(answer["runtimes"])
    proof.require(wanted.model)
    if image:
        note(f"{image.name}: " + " ".join(f"{x:.3f}" for x in first[:6]) + " ...")


@app.command()
def quantize(
    ctx: typer.Context,
    category: Annotated[str, typer.Argument(metavar="CATEGORY", help="The category.")],
    using: Annotated[
        str | None, typer.Option(help="The named vector. [default: the category's default]")
    ] = None,
    images: Annotated[int, typer.Option(min=30, max=5000, help="Pictures to quantise and judge on.")] = 300,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it even where neighbours change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an encoder of a category run in int8, if the category's pictures keep their neighbours.

    The images' side is quantised on the category's own pictures and compared with float32. It is kept where
    at least 99 of 100 nearest neighbours stay and vectors of both may be mixed; VITRINE_PRECISION=int8 runs
    it.
    """
    from dataclasses import asdict

    from vitrine.indexer.enrich.vectors.quantise import quantise_encoder

    with stores(ctx) as runtime:
        judged, kept = quantise_encoder(
            runtime, runtime.catalog.get(category), using, images=images, keep=keep, tell=note
        )
    if as_json:
        print_json({**asdict(judged), "equal": judged.equal, "kept": kept})
        return
    print_pairs(
        {
            "images": judged.images,
            "recall of 10 neighbours": f"{judged.recall:.4f}",
            "cosine to float32": f"{judged.cosine_min:.5f} at least, {judged.cosine_mean:.5f} on average",
            "images per second": f"{judged.int8_per_second} in int8, {judged.float32_per_second} in float32",
        }
    )
    if kept:
        note("Kept: VITRINE_PRECISION=int8 runs it.")
    else:
        note("Not kept: it finds other neighbours, or its vectors are too far from those in float32.")


def _print_runtimes(runtimes: list[dict[str, Any]]) -> None:
    """Print what each runtime did, side by side."""
    if not runtimes:
        return
    columns = {
        "runtime": "runtime",
        "precision": "precision",
        "images_per_second": "images/s",
        "image_ms": "ms one image",
        "text_ms": "ms one text",
        "cosine": "cosine",
        "memory_mb": "memory MB",
        "load_seconds": "load s",
    }
    rows = [["" if row[key] is None else str(row[key]) for key in columns] for row in runtimes]
    print_table(tuple(columns.values()), rows, right=tuple(columns.values())[2:])


def _verdict(check: Mapping[str, Any]) -> str:
    return str(check["fault"] or (f"yes, but {check['remark']}" if check["remark"] else "yes"))


def _print_checks(checks: Any) -> None:
    rows = [
        (
            check["name"],
            *("" if check[of] is None else f"{check[of]:.6f}" for of in ("cosine", "least")),
            _verdict(check),
        )
        for check in checks
    ]
    print_table(("check", "cosine", "at least", "passed"), rows, right=("cosine", "at least"))


def _where(reference: EncoderReference, settings: Settings) -> dict[str, str | None]:
    from vitrine.services.doctor import find_model
    from vitrine.services.encoders.reference import STORED

    row = {"name": reference.name, "model": reference.model, "revision": reference.revision}
    if reference.model.startswith(STORED):
        return {**row, "weights": "in the object store"}
    found = find_model(reference, settings)
    if found is None:
        return {**row, "weights": "not on this machine"}
    if found.path is None:
        return {**row, "weights": "built in"}
    differs = reference.revision is not None and found.revision != reference.revision
    return {
        **row,
        "revision": reference.revision or found.revision,
        "weights": f"{found.path}{' (another revision)' if differs else ''}",
    }


def _pictures(image: Path | None) -> list[Image]:
    """Return the picture first, if there is one, then drawn ones."""
    from vitrine.data.pictures import draw_pictures
    from vitrine.services.images.open import ImageLimits, open_image

    drawn = [picture.image.convert("RGB") for picture in draw_pictures(_BATCH, seed=1)]
    if image is None:
        return drawn
    return [open_image(read_picture(image), target=512, limits=ImageLimits()).image, *drawn[1:]]
