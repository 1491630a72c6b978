"""The families of encoders that come with Vitrine. Each imports its libraries when it loads a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine.services.encoders.compiled.choose import WITHOUT_TORCH, choose_runtime, has_torch
from vitrine.services.encoders.families.metric_config import KIND as METRIC
from vitrine.services.encoders.folders.layout import read_layout
from vitrine.services.encoders.graphs.makers import makers
from vitrine.services.encoders.reference import COLOUR_MODEL, DEMO_MODEL, EncoderReference
from vitrine.services.encoders.registry import EncoderFamily
from vitrine.services.encoders.resolve import ResolvedModel, resolve_folder
from vitrine.services.errors import MissingExtra, ModelUnavailable

if TYPE_CHECKING:
    from vitrine.services.encoders.base import Encoder
    from vitrine.services.encoders.graphs.graph import GraphMaker
    from vitrine.services.encoders.load import EncoderLoader


def built_in_families() -> tuple[EncoderFamily, ...]:
    """Return the families in the order in which they are asked."""
    graphs = (GraphFamily(maker) for maker in makers())
    return ColourFamily(), MetricFamily(), AutoencoderFamily(), *graphs, TransformersFamily()


class ColourFamily(EncoderFamily):
    """The encoder of colours alone, which needs no weights. Its revision names its dimension."""

    def find(self, reference: EncoderReference) -> ResolvedModel | None:
        from vitrine.services.encoders.families.fake import colour_revision

        if reference.model != COLOUR_MODEL:
            return None
        return ResolvedModel(None, colour_revision(reference.revision))

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        from vitrine.services.encoders.families.fake import ColourEncoder

        return ColourEncoder(reference.name, int(found.revision.rpartition("-")[2]))


class MetricFamily(EncoderFamily):
    """A trunk and an embedder in one folder, made by `vitrine metric train`."""

    def takes(self, config: Mapping[str, Any]) -> bool:
        return config.get("vitrine") == METRIC

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        from vitrine.services.encoders.families.metric import load_metric_encoder

        return load_metric_encoder(reference, found, loader)


class AutoencoderFamily(EncoderFamily):
    """The coding half of a convolutional autoencoder, made by `vitrine autoencoder train`."""

    def takes(self, config: Mapping[str, Any]) -> bool:
        return config.get("vitrine") == "autoencoder"

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        from vitrine.services.encoders.families.autoencoder import load_autoencoder

        return load_autoencoder(reference, found, device=loader.device)


class GraphFamily(EncoderFamily):
    """Models that are built from their weights as OpenVINO graphs, without torch: one kind of network each,
    listed in services/encoders/graphs/makers.py. Not for training."""

    runtime = "openvino"

    def __init__(self, maker: GraphMaker) -> None:
        self._maker = maker

    def takes(self, config: Mapping[str, Any]) -> bool:
        return not isinstance(config.get("vitrine"), str) and self._maker.takes(config)

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        from vitrine.services.encoders.compiled.load import load_graph

        try:
            return load_graph(reference, found, loader, self._maker)
        except ModelUnavailable as error:
            if not has_torch():
                if kept := _kept(reference, found, loader):
                    return kept
                raise
            try:  # it may know what no graph does
                return _by_torch(reference, found, loader)
            except Exception:  # four libraries, each with errors of its own
                raise error from None  # what was found in the files themselves


def _by_torch(reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
    """Load by transformers; on a CPU converted to OpenVINO, where there is a place to keep the conversion."""
    from vitrine.services.encoders.families.transformers import load_transformers

    training = not loader.fuse
    if loader.cache is None or choose_runtime(loader.runtime, loader.device, training=training) == "torch":
        return load_transformers(reference, found, loader)
    from vitrine.services.encoders.compiled.convert import load_converted

    on_cpu = replace(loader, device="cpu")
    return load_converted(reference, found, loader, lambda: load_transformers(reference, found, on_cpu))


def _kept(reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder | None:
    """Return what was converted where torch is installed, with the data that this process works on."""
    from vitrine.services.encoders.compiled.convert import load_kept

    return load_kept(reference, found, loader)


class TransformersFamily(EncoderFamily):
    """Any vision or image-and-text model of transformers: ViT, DINOv2, CLIP, SigLIP and their relatives,
    among them the small CLIP model in data/demo-clip. Loads with torch, for training and for what no graph is
    known for."""

    def find(self, reference: EncoderReference) -> ResolvedModel | None:
        if reference.model != DEMO_MODEL:
            return None
        return resolve_folder(Path(__file__).resolve().parents[3] / "data" / "demo-clip")

    def takes(self, config: Mapping[str, Any]) -> bool:
        return not isinstance(config.get("vitrine"), str)

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        if not has_torch():
            if choose_runtime(loader.runtime, loader.device) == "torch":
                raise MissingExtra(WITHOUT_TORCH, extra="train", package="torch")
            if kept := _kept(reference, found, loader):
                return kept
            kind = read_layout(found.folder).config.get("model_type") or "model of an unknown kind"
            raise ModelUnavailable(
                f"{found.path} is a {kind}, which runs only with torch and transformers: "
                "pip install 'vitrine[train]'. A model of images alone that was used there once, with this "
                "data folder, is kept in it (cache/runtime) and runs without them."
            )
        return _by_torch(reference, found, loader)
