"""``vitrine autoencoder``: train an encoder from the pictures alone, and embed with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, print_pairs
from vitrine.services.errors import BadRequest

if TYPE_CHECKING:
    from vitrine.services.settings import Settings
    from vitrine.training.autoencoder import AutoencoderOptions, TrainedAutoencoder

app = typer.Typer(
    no_args_is_help=True, help="Train a convolutional autoencoder and use its code as an embedding."
)
Reads = list[Callable[[], bytes]]


class Loss(StrEnum):
    """What a reconstruction is judged by."""

    mse = "mse"
    mae = "mae"
    perceptual = "perceptual"


CategoryOption = Annotated[
    str | None, typer.Option("--category", "-c", help="Train on the images of this category.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="Train on a folder, archive or manifest.")
]


@app.command()
def train(
    ctx: typer.Context,
    output: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where the encoder goes; its last part names the encoder."),
    ],
    category: CategoryOption = None,
    data: DataOption = None,
    size: Annotated[
        int, typer.Option(help="Side of the squares that pictures are squeezed to, in pixels.")
    ] = 64,
    dim: Annotated[int, typer.Option(help="Length of the code.")] = 128,
    channels: Annotated[str, typer.Option(help="Channels after each halving.")] = "32,64,128,256",
    loss: Annotated[Loss, typer.Option(help="perceptual compares the features of --features.")] = Loss.mse,
    features: Annotated[
        str | None, typer.Option(metavar="REF", help="The encoder of the perceptual loss, such as clip.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 50,
    batch_size: Annotated[int, typer.Option(min=2)] = 64,
    lr: Annotated[float, typer.Option(help="Highest learning rate of the one-cycle schedule.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0)] = 1e-4,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better validation loss before it ends.")
    ] = 8,
    seed: int = 0,
    as_json: JsonOption = False,
) -> None:
    """Train on pictures without any labels. FOLDER then works wherever an encoder is named: `--encoder
    ./FOLDER`."""
    from vitrine.training.autoencoder import AutoencoderOptions, train_autoencoder

    settings = read_settings(ctx)
    options = AutoencoderOptions(
        size=size,
        dim=dim,
        channels=_channels(channels),
        loss=loss.value,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        patience=patience,
        seed=seed,
        device=settings.device,
    )
    perceptual = _perceptual(features, settings) if loss is Loss.perceptual or features else None
    with ExitStack() as stack:
        reads = _reads(ctx, stack, category, data)
        note(f"Training on {len(reads)} images of {size} x {size} pixels.")
        trained = train_autoencoder(reads, options, perceptual=perceptual, on_epoch=_tell(epochs))
    files = _save(output, trained, options, features)
    answer = {
        "folder": str(output),
        "images": trained.images,
        "refused": trained.refused,
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "validation_loss": trained.best_loss,
        **files,
    }
    if as_json:
        print_json(answer | {"history": trained.history})
        return
    print_pairs(answer)
    note(f"Use it: vitrine category create NAME --encoder {output}")


@app.command()
def embed(
    ctx: typer.Context,
    encoder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that `train` wrote.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="A folder, archive or manifest of pictures.")
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE.npz", help="Gets `names` and `embeddings` (n, dim) float32.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Embed pictures into a file, without a category."""
    import numpy as np

    from vitrine.services.encoders.load import load_encoder
    from vitrine.services.encoders.reference import EncoderReference, name_of
    from vitrine.services.errors import ImageRefused
    from vitrine.services.images.open import ImageLimits, open_image

    if to.suffix != ".npz":
        raise BadRequest(f"{to} should end in .npz.")
    settings = read_settings(ctx)
    loaded = load_encoder(
        EncoderReference(name_of(str(encoder)), str(encoder)), device=settings.device, offline=True
    )
    names: list[str] = []
    rows: list[Any] = []
    refused = 0
    for record in _source(data, None):
        try:
            opened = open_image(
                record.read(), target=loaded.spec.preprocessing.target, limits=ImageLimits.of(settings)
            )
        except (ImageRefused, OSError):
            refused += 1
            continue
        names.append(record.filename)
        rows.append(loaded.encode_images([opened.image])[0])
    if not rows:
        raise BadRequest(f"{data} holds no picture that decodes.")
    np.savez(to, names=np.array(names), embeddings=np.stack(rows))
    answer = {"file": str(to), "images": len(rows), "refused": refused, "dim": loaded.spec.dim}
    print_json(answer) if as_json else print_pairs(answer)


def _channels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadRequest(
            f"{text!r} are no channels: give whole numbers with commas, such as 32,64,128,256."
        ) from None


def _perceptual(reference: str | None, settings: Settings) -> Any:
    from vitrine.services.encoders.load import load_encoder
    from vitrine.services.encoders.reference import parse_reference
    from vitrine.services.encoders.torch_encoder import TorchEncoder

    if reference is None:
        raise BadRequest(
            "The perceptual loss compares features of an encoder: name it by --features, such as clip."
        )
    loaded = load_encoder(
        parse_reference(reference),
        models_folder=settings.models,
        precision="float32",
        device=settings.device,
        offline=settings.offline,
    )
    if not isinstance(loaded, TorchEncoder):
        raise BadRequest(
            f"{reference!r} has no network to compare features of: name another encoder, such as clip."
        )
    return loaded


def _reads(ctx: typer.Context, stack: ExitStack, category: str | None, data: Path | None) -> Reads:
    if (category is None) == (data is None):
        raise BadRequest("Say what to train on: --category NAME or --data FOLDER.")
    if data is not None:
        return [record.read for record in _source(data, None)]
    from functools import partial
    from itertools import chain

    from vitrine.services.category.read_all import pages

    runtime = stack.enter_context(stores(ctx))
    assert category is not None
    runtime.catalog.get(category)
    hits = chain.from_iterable(pages(runtime.vectors, category, fields=("object_key",)))
    return [partial(runtime.objects.get, hit.payload["object_key"]) for hit in hits]


def _source(data: Path, objects: None) -> Sequence[Any]:
    from vitrine.indexer.sources import open_source

    return [record for record in open_source(data, objects=objects) if record.refusal is None]


def _tell(epochs: int) -> Callable[[dict[str, float]], None]:
    """A line an epoch: they take seconds each, and the losses are what one wants to see."""

    def tell(row: dict[str, float]) -> None:
        done, seconds = int(row["epoch"]), row["seconds"]
        left = seconds / done * (epochs - done)
        note(
            f"epoch {done} of {epochs}: loss {row['loss']:.5f}, held out {row['validation_loss']:.5f}, "
            f"at most {left:.0f} s left"
        )

    return tell


def _save(
    folder: Path, trained: TrainedAutoencoder, options: AutoencoderOptions, features: str | None
) -> dict[str, str]:
    """The encoder, a report and a sheet of held-out pictures above what the model makes of them."""
    import json
    from dataclasses import asdict

    from PIL import Image

    from vitrine.services.encoders.families.autoencoder import AutoencoderConfig, save_autoencoder
    from vitrine.services.images.contact_sheet import Tile, contact_sheet
    from vitrine.training.autoencoder import reconstruct

    report = {
        "options": asdict(options),
        "features": features,
        "images": trained.images,
        "best_epoch": trained.best_epoch,
    }
    config = AutoencoderConfig("convolutional", options.size, options.dim, trained.model.arguments, report)
    save_autoencoder(folder, trained.model, config)
    (folder / "report.json").write_text(
        json.dumps(report | {"history": trained.history}, indent=2), encoding="utf-8"
    )
    shown = trained.held_out[:10]
    tiles = [Tile(_png(Image.fromarray(pixels)), ("held out",)) for pixels in shown]
    tiles += [
        Tile(_png(Image.fromarray(pixels)), ("reconstructed",))
        for pixels in reconstruct(trained.model, shown)
    ]
    sheet = folder / "reconstructions.png"
    contact_sheet(
        tiles, columns=len(shown), tile_size=128, title=f"Epoch {trained.best_epoch}, {options.loss}"
    ).save(sheet)
    return {"report": str(folder / "report.json"), "sheet": str(sheet)}


def _png(image: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
