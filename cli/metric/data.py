"""What ``vitrine metric`` learns from and judges on: a category, a folder of class folders, or a CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.output import note
from vitrine.services.errors import BadRequest

if TYPE_CHECKING:
    from vitrine.cli.metric.progress import Progress
    from vitrine.services.domain import EncoderSpec
    from vitrine.services.settings import Settings
    from vitrine.training.data.dataset import LabelledImage, Unusable
    from vitrine.training.data.duplicates import Groups
    from vitrine.training.data.splits import Split

_DATA = "Data"
FromCategory = Annotated[
    str | None,
    typer.Option(
        "--category",
        "-c",
        metavar="NAME",
        help="Images of this category that have a class.",
        rich_help_panel=_DATA,
    ),
]
FromFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", rich_help_panel=_DATA,
                 help="A folder per class, or train, validation and test with those; with --meta, where "
                     "its files lie."),
]  # fmt: skip
FromCsv = Annotated[
    Path | None,
    typer.Option(
        "--meta", metavar="CSV", help="Columns file and class, and split if given.", rich_help_panel=_DATA
    ),
]
LabelOption = Annotated[
    str,
    typer.Option(
        "--label", metavar="FIELD", help="Payload field or CSV column of the class.", rich_help_panel=_DATA
    ),
]
UsingOption = Annotated[
    str | None,
    typer.Option("--using", metavar="ENCODER", rich_help_panel=_DATA,
                 help="The category's vector whose encoder is the trunk. [default: its first]"),
]  # fmt: skip


@dataclass(frozen=True)
class Data:
    """Identified images, those that cannot be used, and near-duplicate groups. ``spec``: whose embeddings the
    images carry."""

    images: list[LabelledImage]
    unusable: list[Unusable]
    groups: Groups
    spec: EncoderSpec | None = None


def read_data(
    ctx: typer.Context,
    progress: Progress,
    category: str | None,
    folder: Path | None,
    meta: Path | None,
    label: str,
    using: str | None = None,
) -> Data:
    """Read and identify. ``BadRequest`` unless one source is named. The data's lock is held only while a
    category is listed."""
    from vitrine.training.data.dataset import identify, read_csv, read_folder
    from vitrine.training.data.duplicates import duplicate_groups

    if (category is None) == (folder is None and meta is None):
        raise BadRequest("Say what to learn from: --category NAME, --data FOLDER, or --meta CSV.")
    settings, spec = read_settings(ctx), None
    if category is not None:
        found, spec = _from_category(ctx, settings, category, label, using)
    elif meta is not None:
        found = read_csv(meta, folder, label=label)
    else:
        assert folder is not None
        found = read_folder(folder)
    images, unusable = identify(
        found, lambda done, total: progress.tell("reading", done, total), threads=_threads(settings)
    )
    if unusable:
        note(
            f"{len(unusable)} of {len(found)} images are left out, such as {unusable[0].key}: "
            f"{unusable[0].message}"
        )
    return Data(images, unusable, duplicate_groups(images), spec)


def split_data(
    data: Data,
    how: Literal["auto", "image", "class", "given"],
    seed: int,
    val_classes: list[str],
    test_classes: list[str],
) -> Split:
    """``auto``: as the data says where it does, else by image."""
    from vitrine.training.data.splits import split_by_class, split_by_image, split_given

    if how == "class":
        return split_by_class(
            data.images, seed=seed, groups=data.groups, validation=val_classes, test=test_classes
        )
    if val_classes or test_classes:
        raise BadRequest("--val-classes and --test-classes go with --split class.")
    if how == "given" or (how == "auto" and all(image.split for image in data.images)):
        return split_given(data.images, seed, data.groups)
    return split_by_image(data.images, seed=seed, groups=data.groups)


def _from_category(
    ctx: typer.Context, settings: Settings, category: str, label: str, using: str | None
) -> tuple[list[Any], EncoderSpec]:
    from vitrine.services.runtime import open_objects
    from vitrine.training.data.dataset import read_category

    with stores(ctx) as runtime:
        about = runtime.catalog.get(category)
        # the first, not what queries use by default: that may be an encoder that was trained on it
        spec = about.encoder(using or about.encoders[0].name)
        # objects of its own: pictures are read on while the category serves others again
        objects = open_objects(settings)
        return read_category(
            runtime.catalog, runtime.vectors, objects, category, label=label, using=spec.name
        ), spec


def _threads(settings: Settings) -> int:
    import os

    return settings.threads or os.cpu_count() or 1
