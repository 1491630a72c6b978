"""``vitrine autoencoder``: train an encoder from the pictures alone, and embed with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, print_pairs
from vitrine.cli.with_options import with_options
from vitrine.services.errors import BadRequest
from vitrine.training.autoencoder.options import AutoencoderOptions

if TYPE_CHECKING:
    from vitrine.indexer.sources.records import ImageRecord

app = typer.Typer(
    no_args_is_help=True, help="Train a convolutional autoencoder and use its code as an embedding."
)
_PICTURES = "A folder, archive or manifest of pictures."


@app.command()
@with_options
def train(
    ctx: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where the encoder goes; its last part names the encoder."),
    ],
    options: AutoencoderOptions,
    category: Annotated[
        str | None, typer.Option("--category", "-c", metavar="NAME", help="Train on its images.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--from", metavar="SOURCE", help=_PICTURES)] = None,
    features: Annotated[
        str | None, typer.Option(metavar="REF", help="The encoder of the perceptual loss, such as clip.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on pictures without any labels. FOLDER then works wherever an encoder is named: `--encoder
    ./FOLDER`."""
    from vitrine.training.autoencoder.run import Reads, category_reads, run_autoencoder

    with ExitStack() as stack:
        reads: Reads
        if category is not None and source is None:
            reads = category_reads(stack.enter_context(stores(ctx)), category)
        elif source is not None and category is None:
            reads = [record.read for record in _records(source)]
        else:
            raise BadRequest("Say what to train on: --category NAME or --from SOURCE.")
        note(f"Training on {len(reads)} images of {options.size} x {options.size} pixels.")
        saved = run_autoencoder(
            folder,
            reads,
            options,
            read_settings(ctx),
            features=features,
            on_epoch=_print_epoch(options.epochs),
        )
    tree = saved.to_json()
    if as_json:
        print_json(tree)
        return
    print_pairs({key: value for key, value in tree.items() if key != "history"})
    note(f"Use it: vitrine category create NAME --encoder {folder}")


@app.command()
def embed(
    ctx: typer.Context,
    encoder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that `train` wrote.")],
    source: Annotated[Path, typer.Option("--from", metavar="SOURCE", help=_PICTURES)],
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE.npz", help="Gets `names` and `embeddings` (n, dim) float32.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Embed pictures into a file, without a category."""
    import numpy as np

    from vitrine.services.encoders.load import EncoderLoader
    from vitrine.services.encoders.reference import EncoderReference, name_of
    from vitrine.services.errors import ImageRefused
    from vitrine.services.images.open import ImageLimits, open_image

    if to.suffix != ".npz":
        raise BadRequest(f"{to} should end in .npz.")
    settings = read_settings(ctx)
    reference = EncoderReference(name_of(str(encoder)), str(encoder))
    loaded = EncoderLoader(device=settings.device, offline=True).load(reference)
    target, limits = loaded.spec.preprocessing.target, ImageLimits.of(settings)
    names: list[str] = []
    rows: list[Any] = []
    refused = 0
    for record in _records(source):
        try:
            opened = open_image(record.read(), target=target, limits=limits)
        except (ImageRefused, OSError):
            refused += 1
            continue
        names.append(record.filename)
        rows.append(loaded.encode_images([opened.image])[0])
    if not rows:
        raise BadRequest(f"{source} holds no picture that decodes.")
    np.savez(to, names=np.array(names), embeddings=np.stack(rows))
    answer = {"file": str(to), "images": len(rows), "refused": refused, "dim": loaded.spec.dim}
    print_json(answer) if as_json else print_pairs(answer)


def _records(source: Path) -> list[ImageRecord]:
    from vitrine.indexer.sources.open import open_source

    return [record for record in open_source(source) if record.refusal is None]


def _print_epoch(epochs: int) -> Callable[[dict[str, float]], None]:
    def show(row: dict[str, float]) -> None:
        done, seconds = int(row["epoch"]), row["seconds"]
        left = seconds / done * (epochs - done)
        note(
            f"epoch {done} of {epochs}: loss {row['loss']:.5f}, held out {row['validation_loss']:.5f}, "
            f"at most {left:.0f} s left"
        )

    return show
