"""Vitrine for Python: index collections of images and search them.

    import vitrine

    with vitrine.open("vitrine-data") as v:
        shop = v.create("shop", encoder="clip")
        shop.add("photos/", tags_from_folders=2)
        hits = shop.search(text="a red mug", limit=20)

docs/python.md shows what there is. Every name is loaded when it is first used, so that `import vitrine` is
quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__: str

if TYPE_CHECKING:
    from vitrine.category import Category as Category
    from vitrine.hits import Hit as Hit
    from vitrine.hits import Hits as Hits
    from vitrine.indexer.enrich.clusters.options import ClusterOptions as ClusterOptions
    from vitrine.indexer.enrich.duplicates.options import DuplicateOptions as DuplicateOptions
    from vitrine.indexer.enrich.maps.options import MapOptions as MapOptions
    from vitrine.indexer.enrich.previews.options import PreviewOptions as PreviewOptions
    from vitrine.indexer.ingest.sync.options import SyncOptions as SyncOptions
    from vitrine.library import Library as Library
    from vitrine.library import open as open
    from vitrine.pictures import NewImage as NewImage
    from vitrine.pictures import Picture as Picture
    from vitrine.services.domain import EncoderSpec as EncoderSpec
    from vitrine.services.domain import Preprocessing as Preprocessing
    from vitrine.services.encoders.registry import EncoderFamily as EncoderFamily
    from vitrine.services.encoders.registry import register_encoder as register_encoder
    from vitrine.services.encoders.resolve import ResolvedModel as ResolvedModel
    from vitrine.services.errors import AlreadyExists as AlreadyExists
    from vitrine.services.errors import BadRequest as BadRequest
    from vitrine.services.errors import BadSource as BadSource
    from vitrine.services.errors import BadVector as BadVector
    from vitrine.services.errors import Conflict as Conflict
    from vitrine.services.errors import EncoderMismatch as EncoderMismatch
    from vitrine.services.errors import Forbidden as Forbidden
    from vitrine.services.errors import ImageRefused as ImageRefused
    from vitrine.services.errors import MissingCredentials as MissingCredentials
    from vitrine.services.errors import MissingExtra as MissingExtra
    from vitrine.services.errors import ModelUnavailable as ModelUnavailable
    from vitrine.services.errors import NotFound as NotFound
    from vitrine.services.errors import OtherFormat as OtherFormat
    from vitrine.services.errors import ReadOnly as ReadOnly
    from vitrine.services.errors import StorageFull as StorageFull
    from vitrine.services.errors import StoreDamaged as StoreDamaged
    from vitrine.services.errors import StoreLocked as StoreLocked
    from vitrine.services.errors import TaggerMismatch as TaggerMismatch
    from vitrine.services.errors import TooFewExamples as TooFewExamples
    from vitrine.services.errors import TooLarge as TooLarge
    from vitrine.services.errors import TooManyGone as TooManyGone
    from vitrine.services.errors import Unauthorized as Unauthorized
    from vitrine.services.errors import Unavailable as Unavailable
    from vitrine.services.errors import UnknownField as UnknownField
    from vitrine.services.errors import UnknownVector as UnknownVector
    from vitrine.services.errors import UnsoundEncoder as UnsoundEncoder
    from vitrine.services.errors import UnsupportedQuery as UnsupportedQuery
    from vitrine.services.errors import UrlsOff as UrlsOff
    from vitrine.services.errors import VitrineError as VitrineError
    from vitrine.services.errors import WorseEncoder as WorseEncoder
    from vitrine.training.data.options import SplitOptions as SplitOptions
    from vitrine.training.metric.options import MetricOptions as MetricOptions
    from vitrine.training.taggers.options import TrainOptions as TrainOptions
else:  # a type checker that saw __getattr__ would accept any name
    _HOMES = {
        "vitrine.library": "Library open",
        "vitrine.category": "Category",
        "vitrine.hits": "Hit Hits",
        "vitrine.pictures": "NewImage Picture",
        "vitrine.indexer.enrich.clusters.options": "ClusterOptions",
        "vitrine.indexer.enrich.duplicates.options": "DuplicateOptions",
        "vitrine.indexer.enrich.maps.options": "MapOptions",
        "vitrine.indexer.enrich.previews.options": "PreviewOptions",
        "vitrine.indexer.ingest.sync.options": "SyncOptions",
        "vitrine.training.data.options": "SplitOptions",
        "vitrine.training.metric.options": "MetricOptions",
        "vitrine.training.taggers.options": "TrainOptions",
        "vitrine.services.domain": "EncoderSpec Preprocessing",
        "vitrine.services.encoders.registry": "EncoderFamily register_encoder",
        "vitrine.services.encoders.resolve": "ResolvedModel",
        "vitrine.services.errors": "AlreadyExists BadRequest BadSource BadVector Conflict EncoderMismatch "
        "Forbidden ImageRefused MissingCredentials MissingExtra ModelUnavailable NotFound OtherFormat "
        "ReadOnly StorageFull StoreDamaged StoreLocked TaggerMismatch TooFewExamples TooLarge TooManyGone "
        "Unauthorized Unavailable UnknownField UnknownVector UnsoundEncoder UnsupportedQuery UrlsOff "
        "VitrineError WorseEncoder",
    }
    _NAMES = {name: home for home, names in _HOMES.items() for name in names.split()}
    __all__ = ["__version__", *_NAMES]

    def __getattr__(name):
        from importlib import import_module, metadata

        if name == "__version__":
            return metadata.version("vitrine")
        if name not in _NAMES:
            raise AttributeError(f"module 'vitrine' has no attribute {name!r}")
        return getattr(import_module(_NAMES[name]), name)

    def __dir__():
        return [*globals(), *__all__]
