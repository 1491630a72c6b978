"""Open the stores, encoders and searcher that the settings describe, and wire them together. Engines and
stores are chosen here and nowhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import orjson

from vitrine.services.domain import EncoderSpec, Quantization
from vitrine.services.errors import MissingCredentials, NotFound, StoreDamaged, Unavailable
from vitrine.services.files import make_folder, reason, unwritable
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import check_format
from vitrine.services.object_store.known import Known
from vitrine.services.read_only import Scratch, is_read_only, read_only_error
from vitrine.services.sealed import sealed, unsealed
from vitrine.services.vector_store.base import VectorStore

if TYPE_CHECKING:  # each part of a runtime is imported when it is first used
    from vitrine.services.artifacts.clusters import ClusterStore
    from vitrine.services.artifacts.duplicates import DuplicateStore
    from vitrine.services.artifacts.maps import MapStore
    from vitrine.services.artifacts.taggers import TaggerStore
    from vitrine.services.category.catalog import Catalog, Category
    from vitrine.services.category.editor import Editor
    from vitrine.services.category.journal import Journal
    from vitrine.services.category.saved import SavedSearches
    from vitrine.services.category.thumbnails import Thumbnails
    from vitrine.services.columns.store import ColumnStore
    from vitrine.services.download.downloader import Downloader
    from vitrine.services.encoders.binding import Reference, Tell
    from vitrine.services.encoders.pool import EncoderPool
    from vitrine.services.images.budget import DecodeBudget, ImageLimits
    from vitrine.services.search.same_vectors import SameVectors
    from vitrine.services.search.searcher import Searcher
    from vitrine.services.search.sent_pictures import SentPictures
    from vitrine.services.settings import Settings

MB = 1 << 20
DATA_FORMAT = 2
"""The layout of the data folder, which its file vitrine.json names. No other is read."""
T = TypeVar("T")


class _Parts:
    """What a runtime has made so far, by name. Each part is made once, by the thread that asks first."""

    def __init__(self) -> None:
        self._made: dict[str, object] = {}
        self._mutex = threading.RLock()

    def get(self, name: str, make: Callable[[], T]) -> T:
        with self._mutex:
            if name not in self._made:
                self._made[name] = make()
            return cast(T, self._made[name])

    def forget(self, category: str) -> None:
        """Let the stores that were made forget a category that was deleted; the others remember nothing."""
        for name in ("taggers", "clusters", "duplicates", "maps", "columns", "same_vectors", "thumbnails"):
            store = self._made.get(name)
            if store is not None:
                cast("TaggerStore | SameVectors", store).forget(category)

    def close(self) -> None:
        """Close the parts that hold connections of their own."""
        downloads = self._made.get("downloads")
        if downloads is not None:
            cast("Downloader", downloads).close()


@dataclass(frozen=True)
class Runtime:
    """The stores, encoders and searcher that a command or a server works with; ``open_runtime`` makes and
    closes it.

    The parts beyond the stores are imported and made when they are first used: a list of categories needs
    neither encoders nor searches. ``read_only``: nothing in the data folder is changed; what would is
    ``ReadOnly``.
    """

    settings: Settings
    vectors: VectorStore
    objects: ObjectStore
    known: Known
    make_encoders: Callable[[], EncoderPool]
    _parts: _Parts = field(default_factory=_Parts, compare=False)
    read_only: bool = False

    @property
    def catalog(self) -> Catalog:
        return self._parts.get("catalog", self._make_catalog)

    def _make_catalog(self) -> Catalog:
        from vitrine.services.category.catalog import Catalog
        from vitrine.services.category.leases import Leases
        from vitrine.services.category.turns import Turns, lock_file

        if self.read_only:
            turns = Turns()
        elif self.settings.qdrant_url and self.settings.minio_endpoint:
            turns = Turns(Leases(self.objects).take)
        else:
            turns = Turns(partial(lock_file, self.settings.data / "turns"))
        return Catalog(
            self.objects,
            self.vectors,
            known=self.known,
            on_deletion=(self._parts.forget,),
            turns=turns,
        )

    @property
    def encoders(self) -> EncoderPool:
        return self._parts.get("encoders", self.make_encoders)

    @property
    def taggers(self) -> TaggerStore:
        from vitrine.services.artifacts.taggers import TaggerStore

        return self._parts.get("taggers", lambda: TaggerStore(self.objects, self.known))

    @property
    def clusters(self) -> ClusterStore:
        from vitrine.services.artifacts.clusters import ClusterStore

        return self._parts.get("clusters", lambda: ClusterStore(self.objects, self.known))

    @property
    def duplicates(self) -> DuplicateStore:
        from vitrine.services.artifacts.duplicates import DuplicateStore

        return self._parts.get("duplicates", lambda: DuplicateStore(self.objects, self.known))

    @property
    def maps(self) -> MapStore:
        from vitrine.services.artifacts.maps import MapStore

        return self._parts.get("maps", lambda: MapStore(self.objects, self.known))

    @property
    def thumbnails(self) -> Thumbnails:
        from vitrine.services.category.thumbnails import Thumbnails

        return self._parts.get(
            "thumbnails", lambda: Thumbnails(self.objects, lambda: self.limits, lambda: self.budget)
        )

    @property
    def pictures(self) -> SentPictures:
        from vitrine.services.search.sent_pictures import SentPictures

        return self._parts.get(
            "pictures", lambda: SentPictures(self.objects, lambda: self.limits, lambda: self.budget)
        )

    @property
    def limits(self) -> ImageLimits:
        from vitrine.services.images.budget import ImageLimits

        return self._parts.get("limits", lambda: ImageLimits.of(self.settings))

    @property
    def budget(self) -> DecodeBudget:
        from vitrine.services.images.budget import DecodeBudget

        return self._parts.get("budget", lambda: DecodeBudget(self.settings.decode_budget_mb * MB))

    @property
    def downloads(self) -> Downloader:
        from vitrine.services.download.downloader import Downloader, DownloadLimits
        from vitrine.services.download.rules import Rules

        settings = self.settings
        return self._parts.get(
            "downloads", lambda: Downloader(Rules.of(settings), DownloadLimits.of(settings))
        )

    @property
    def same_vectors(self) -> SameVectors:
        from vitrine.services.search.same_vectors import SameVectors

        return self._parts.get(
            "same_vectors",
            lambda: SameVectors(
                self.vectors, self.objects, lambda: self.encoders, lambda: self.limits, lambda: self.budget
            ),
        )

    @property
    def searcher(self) -> Searcher:
        return self._parts.get("searcher", self._make_searcher)

    def _make_searcher(self) -> Searcher:
        from vitrine.services.search.searcher import Searcher

        return Searcher(
            self.catalog,
            self.vectors,
            lambda: self.encoders,
            self.taggers,
            self.clusters,
            self.duplicates,
            self.maps,
            self.limits,
            self.budget,
            self.same_vectors,
            self.pictures,
        )

    @property
    def saved(self) -> SavedSearches:
        from vitrine.services.category.saved import SavedSearches

        return self._parts.get("saved", lambda: SavedSearches(self.catalog, self.objects))

    @property
    def journal(self) -> Journal:
        from vitrine.services.category.journal import Journal

        return self._parts.get("journal", lambda: Journal(self.objects))

    @property
    def columns(self) -> ColumnStore:
        from vitrine.services.columns.store import ColumnStore

        return self._parts.get(
            "columns", lambda: ColumnStore(self.catalog, self.vectors, self.clusters, self.maps)
        )

    @property
    def editor(self) -> Editor:
        return self._parts.get("editor", self._make_editor)

    def _make_editor(self) -> Editor:
        from vitrine.services.artifacts import cluster_changes, duplicate_changes
        from vitrine.services.category.editor import Editor

        groups = duplicate_changes.DuplicateChanges(self.catalog, self.vectors, self.duplicates)
        names = cluster_changes.ClusterChanges(self.clusters)
        return Editor(
            self.catalog,
            self.vectors,
            self.objects,
            self.thumbnails,
            journal=self.journal,
            versions=self._versions,
            others={duplicate_changes.KIND: groups.take_back, cluster_changes.KIND: names.take_back},
        )

    def _versions(self, category: str) -> dict[str, dict[str, str]]:
        """Return the keys of cluster runs and maps in service, and since when, by payload object."""
        return {
            "clusters": {run.key: run.created_at for run in self.clusters.in_service(category)},
            "maps": {each.key: each.created_at for each in self.maps.in_service(category)},
        }

    def check_writable(self) -> None:
        """Raise ``ReadOnly`` where nothing can be written, before long work whose result could not be
        kept."""
        if self.read_only:
            raise read_only_error()

    def create_category(
        self,
        name: str,
        encoders: Sequence[Reference] = (),
        description: str = "",
        *,
        adopted: Sequence[EncoderSpec] = (),
        quantization: Quantization | None = None,
        note: Tell | None = None,
    ) -> Category:
        """Make an empty category, bound to the revisions of its encoders (none given: ``VITRINE_ENCODER``).

        ``adopted``: named vectors that come from elsewhere. ``note`` is given a line about a folder that is
        copied into the object store. ``AlreadyExists``, ``BadRequest``, ``ModelUnavailable``.
        """
        from vitrine.services.encoders.binding import bound

        self.check_writable()
        self.catalog.make_room(name)  # before a model is loaded for it
        wanted = list(encoders) or ([] if adopted else [self.settings.encoder])
        with bound(self.encoders, self.objects, name, wanted, tell=note) as specs:
            return self.catalog.create(
                name, [*specs, *adopted], description=description, quantization=quantization
            )

    def add_encoder(self, category: str, encoder: Reference, *, note: Tell | None = None) -> Category:
        """Bind one more encoder to a category; the images that are there have no vectors of it yet.

        ``NotFound`` (category), ``EncoderMismatch`` where another revision has its name,
        ``ModelUnavailable``.
        """
        from vitrine.services.encoders.binding import bound

        self.check_writable()
        self.catalog.get(category)  # before a model is loaded for it
        with bound(self.encoders, self.objects, category, [encoder], tell=note) as (spec,):
            return self.catalog.add_encoder(category, spec)


@contextmanager
def open_runtime(
    settings: Settings, *, command: str = "vitrine", make_data: bool = True, start: bool = True
) -> Iterator[Runtime]:
    """Open the stores that the settings name and close them at the end.

    ``command`` is named to others who find the data directory taken. ``make_data``: make the data
    folder if it is missing; without, that is ``NotFound``. ``start``: see ``open_vectors``. A data folder
    that cannot be written is only read: changes are ``ReadOnly``. Raises
    ``StoreLocked``, ``StoreDamaged``, ``OtherFormat``, ``Unavailable``, ``MissingCredentials``.
    """
    if (make_data and not settings.read_only) or has_data(settings):
        check_data_folder(settings)
    else:
        raise NotFound(
            f"There is no data folder {settings.data}: check the path (--data or VITRINE_DATA), or "
            "fill a new one by `vitrine index add FOLDER -c NAME --create` or `vitrine demo`.",
            folder=str(settings.data),
        )
    read_only = is_read_only(settings)
    check_data_format(settings, write=not read_only)
    with ExitStack() as stack:
        vectors = open_vectors(settings, command, start=start)
        stack.callback(vectors.close)
        objects = open_objects(settings)
        known = Known(objects)
        stack.callback(known.close)

        def make_encoders() -> EncoderPool:
            from vitrine.services.encoders.pool import EncoderPool

            cache: Path | None = None
            if read_only:
                scratch = Scratch()
                stack.callback(scratch.remove)
                cache = scratch.mirror(settings.data / "cache", "cache")
            encoders = EncoderPool(settings, objects=objects, cache=cache)
            stack.callback(encoders.close)
            return encoders

        parts = _Parts()
        stack.callback(parts.close)
        yield Runtime(settings, vectors, objects, known, make_encoders, parts, read_only)


def has_data(settings: Settings) -> bool:
    """Return whether there can be anything to read: the data folder exists, or both stores are servers."""
    return bool(settings.qdrant_url and settings.minio_endpoint) or os.path.lexists(settings.data)


def check_data_folder(settings: Settings) -> None:
    """Make the data folder if it is missing. ``Unavailable`` if it is not a folder, if this user cannot read
    it, or if it is empty and this user cannot write there."""
    if settings.qdrant_url and settings.minio_endpoint:
        return
    folder = settings.data
    try:
        make_folder(folder)
        usable = os.access(folder, os.R_OK | os.X_OK) and (
            not is_read_only(settings) or any(folder.iterdir())
        )
        why = "" if usable else "this user may not write there"
    except OSError as error:
        why = "it is a file" if folder.is_file() else reason(error)
    if why:
        raise Unavailable(
            f"The data folder {folder} cannot be used: {why}. Give this user write access, or choose "
            "another folder by --data or VITRINE_DATA.",
            folder=str(folder),
        )


def check_data_format(settings: Settings, *, write: bool = True) -> None:
    """Raise ``OtherFormat`` if another version of Vitrine filled the data folder. A new folder gets the file
    that says its format, unless ``write`` is False."""
    if settings.qdrant_url and settings.minio_endpoint:
        return  # the categories' manifests say it
    file = settings.data / "vitrine.json"
    try:
        found = unsealed(orjson.loads(file.read_bytes()), optional=True)["format"]
    except FileNotFoundError:
        if not any(any((settings.data / name).glob("*")) for name in ("vectors/collections", "objects")):
            if write:
                _write_format(file)
            return
        found = 1  # versions to 0.4 wrote no such file
    except (LookupError, ValueError, IsADirectoryError):
        found = DATA_FORMAT if _has_readable_manifest(settings.data / "objects") else None
        if found and write and file.is_file():
            _write_format(file)
    check_format(
        found,
        DATA_FORMAT,
        f"The data folder {settings.data}",
        "Index the images again into a new folder (--data or VITRINE_DATA), or move this one away first. The "
        f"pictures are in {settings.data / 'objects'}.",
    )


def _has_readable_manifest(objects: Path) -> bool:
    """Return whether a category of this format lies there: then a damaged file that says the format of the
    folder keeps nobody from the rest."""
    from vitrine.services.category.manifest import read_manifest
    from vitrine.services.object_store.keys import MANIFESTS

    for file in sorted((objects / MANIFESTS).glob("*.json")):
        with suppress(StoreDamaged, OSError):
            read_manifest(file.stem, file.read_bytes())
            return True
    return False


def _write_format(file: Path) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_bytes(orjson.dumps(sealed({"format": DATA_FORMAT})))
        fresh.replace(file)
    except OSError as error:
        raise unwritable(file, error) from error


def assemble(
    settings: Settings, vectors: VectorStore, objects: ObjectStore, encoders: EncoderPool
) -> Runtime:
    """Wire given stores and encoders; tests bring their own."""
    return Runtime(settings, vectors, objects, Known(objects), lambda: encoders)


def open_vectors(settings: Settings, command: str, *, start: bool = True) -> VectorStore:
    """Return the vector engine that ``QDRANT_URL`` chooses. ``start``: have the embedded one get ready at
    once; without, only when a question needs more than the files tell."""
    if settings.qdrant_url:
        from vitrine.services.vector_store.server.store import ServerVectorStore

        return ServerVectorStore.connect(
            settings.qdrant_url,
            api_key=settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None,
            prefer_grpc=settings.qdrant_prefer_grpc,
            grpc_port=settings.qdrant_grpc_port,
            shards=settings.qdrant_shards,
            replicas=settings.qdrant_replicas,
        )
    from vitrine.services.vector_store.edge.store import EdgeVectorStore

    store = EdgeVectorStore(
        settings.data / "vectors",
        min_free_mb=settings.min_free_mb,
        command=command,
        read_only=is_read_only(settings),
    )
    if start:
        store.start()
    return store


def open_objects(settings: Settings) -> ObjectStore:
    """Return the object store that ``MINIO_ENDPOINT`` chooses."""
    if settings.minio_endpoint:
        from vitrine.services.object_store.minio_store import MinioObjectStore

        if not settings.minio_access_key or not settings.minio_secret_key:
            raise MissingCredentials(
                "MINIO_ENDPOINT is set: set MINIO_ACCESS_KEY and MINIO_SECRET_KEY as well."
            )
        return MinioObjectStore(
            settings.minio_endpoint,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key.get_secret_value(),
            bucket=settings.minio_bucket,
            prefix=settings.minio_prefix,
            secure=settings.minio_secure,
            region=settings.minio_region,
        )
    from vitrine.services.object_store.local import LocalObjectStore

    return LocalObjectStore(
        settings.data / "objects", min_free_mb=settings.min_free_mb, read_only=is_read_only(settings)
    )
