"""An autoencoder run: train on pictures, and save the encoder with a report and a sheet of
reconstructions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vitrine.services.category.read_all import pages
from vitrine.services.encoders.families.autoencoder import AutoencoderConfig
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import parse_reference
from vitrine.services.encoders.torch_encoder import TorchEncoder
from vitrine.services.errors import BadRequest
from vitrine.services.images.contact_sheet import Tile, contact_sheet
from vitrine.services.runtime import Runtime
from vitrine.services.settings import Settings
from vitrine.training.autoencoder.network import save_autoencoder
from vitrine.training.autoencoder.options import AutoencoderOptions
from vitrine.training.autoencoder.train import TrainedAutoencoder, reconstruct, train_autoencoder

Reads = Sequence[Callable[[], bytes]]
"""Functions that read the bytes of one picture each."""
_SHOWN = 10


@dataclass(frozen=True)
class SavedAutoencoder:
    """What a run left in ``folder``: the encoder, report.json and reconstructions.png."""

    folder: Path
    trained: TrainedAutoencoder

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        trained = self.trained
        return {
            "folder": str(self.folder),
            "images": trained.images,
            "refused": trained.refused,
            "best_epoch": trained.best_epoch,
            "epochs": len(trained.history),
            "validation_loss": trained.best_loss,
            "report": str(self.folder / "report.json"),
            "sheet": str(self.folder / "reconstructions.png"),
            "history": trained.history,
        }


def category_reads(runtime: Runtime, category: str) -> Reads:
    """Return a function for each image of a category that reads its picture. ``NotFound``."""
    runtime.catalog.get(category)
    found = pages(runtime.vectors, category, fields=("object_key",), size=2_000)
    return [partial(runtime.objects.get, hit.payload["object_key"]) for page in found for hit in page]


def run_autoencoder(
    folder: Path,
    reads: Reads,
    options: AutoencoderOptions,
    settings: Settings,
    *,
    features: str | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> SavedAutoencoder:
    """Train on pictures and write the encoder's folder. ``features``: the encoder of the perceptual loss.

    ``BadRequest``, ``TooFewExamples``, ``ModelUnavailable``.
    """
    options = replace(options, device=settings.device)
    perceptual = _perceptual(features, settings) if options.loss == "perceptual" or features else None
    trained = train_autoencoder(reads, options, perceptual=perceptual, on_epoch=on_epoch)
    report = {
        "options": asdict(options),
        "features": features,
        "images": trained.images,
        "best_epoch": trained.best_epoch,
    }
    config = AutoencoderConfig("convolutional", options.size, options.dim, trained.model.arguments, report)
    save_autoencoder(folder, trained.model, config)
    text = json.dumps(report | {"history": trained.history}, indent=2)
    (folder / "report.json").write_text(text, encoding="utf-8")
    shown = trained.held_out[:_SHOWN]
    tiles = [Tile(Image.fromarray(pixels), ("held out",)) for pixels in shown]
    made = reconstruct(trained.model, shown)
    tiles += [Tile(Image.fromarray(pixels), ("reconstructed",)) for pixels in made]
    title = f"Epoch {trained.best_epoch}, {options.loss}"
    sheet = contact_sheet(tiles, columns=len(shown), tile_size=128, title=title)
    sheet.save(folder / "reconstructions.png")
    return SavedAutoencoder(folder, trained)


def _perceptual(reference: str | None, settings: Settings) -> TorchEncoder:
    if reference is None:
        raise BadRequest(
            "The perceptual loss compares features of an encoder: name it by --features, such as clip."
        )
    loader = replace(EncoderLoader.of(settings), precision="float32", runtime="torch")
    loaded = loader.load(parse_reference(reference))
    if not isinstance(loaded, TorchEncoder):
        raise BadRequest(
            f"{reference!r} has no network to compare features of: name another encoder, such as clip."
        )
    return loaded
