"""The encoders of one process, loaded when first asked for."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.base import Encoder, check_encoder
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference, parse_reference
from vitrine.services.encoders.registry import EncoderFamily, all_families
from vitrine.services.encoders.resolve import LOCAL_REVISION, ResolvedModel, folder_revision
from vitrine.services.errors import ModelUnavailable, Unavailable, UnsupportedQuery

if TYPE_CHECKING:
    from pathlib import Path

    from vitrine.services.object_store.base import ObjectStore
    from vitrine.services.settings import Settings


class EncoderPool:
    """Loads each encoder once, however many threads ask, and hands out its BatchedEncoder. Thread-safe.

    One model is loaded at a time; those in memory are handed out meanwhile. ``families`` replaces the
    registered and the built-in ones. ``objects`` is where ``store:`` models lie; their files are kept in
    ``cache/encoders`` of the data. ``cache``: a folder in place of ``cache`` there, which must not be
    written.
    """

    def __init__(
        self,
        settings: Settings,
        families: tuple[EncoderFamily, ...] | None = None,
        objects: ObjectStore | None = None,
        cache: Path | None = None,
    ) -> None:
        families = all_families() if families is None else families
        if objects is not None:
            from vitrine.services.encoders.families.stored import StoredFamily

            families = (StoredFamily(objects, (cache or settings.data / "cache") / "encoders"), *families)
        self.loader = EncoderLoader.of(settings, families)
        if cache is not None:
            self.loader = replace(self.loader, cache=cache / "runtime")
        self._lock = threading.Lock()  # held for moments: guards the fields below
        self._loading = threading.Lock()  # held while a model is found and loaded
        self._registered: dict[str, BatchedEncoder] = {}
        self._asked: dict[EncoderReference, BatchedEncoder] = {}
        self._closed = False

    def get(self, reference: EncoderReference | EncoderSpec | str) -> BatchedEncoder:
        """Return the encoder of a reference, a spec or a text such as ``clip`` or ``mine=org/model@commit``;
        loads it the first time.

        Raises BadRequest for a text that names none, ModelUnavailable, and Unavailable after ``close``.
        """
        if isinstance(reference, EncoderSpec):
            return self.for_category(reference)
        name = reference if isinstance(reference, str) else reference.name
        registered = self._find_registered(name)
        if registered is not None and (
            isinstance(reference, str) or reference.model == registered.spec.model
        ):
            return registered
        return self._load_once(parse_reference(reference) if isinstance(reference, str) else reference)

    def for_category(self, spec: EncoderSpec) -> BatchedEncoder:
        """Return the encoder that filled a category: the same revision, dimension and preprocessing.

        Raises EncoderMismatch where only another can be found, ModelUnavailable where none can, and
        UnsupportedQuery for vectors that were adopted from another system.
        """
        registered = self._find_registered(spec.name)
        if registered is not None:
            return _matching(spec, registered)
        if not spec.modalities:
            raise UnsupportedQuery(
                f"The vectors {spec.name!r} were taken over from another system: nothing can be "
                "encoded for them here. Search by id, by vector or by examples of the category.",
                using=spec.name,
            )
        reference = EncoderReference(spec.name, spec.model, spec.revision)
        encoder = self._load_once(reference)
        if encoder.spec.revision != spec.revision and not spec.revision.startswith(LOCAL_REVISION):
            # a local folder stands before the hub, but this category was filled from the hub: it wants the
            # commit itself
            with contextlib.suppress(ModelUnavailable):
                encoder = self._load_once(reference, folders=False)
        return _matching(spec, encoder)

    def register(self, encoder: Encoder | BatchedEncoder) -> BatchedEncoder:
        """Put in an encoder that is already made; it answers to its name."""
        batched = encoder if isinstance(encoder, BatchedEncoder) else BatchedEncoder(encoder)
        with self._lock:
            self._registered[batched.spec.name] = batched
        return batched

    def get_from(self, folder: Path, reference: EncoderReference) -> BatchedEncoder:
        """Return the encoder that lies in ``folder``; it answers to a reference to where it is going to lie.
        ``ModelUnavailable``."""
        with self._loading:
            found = ResolvedModel(folder, reference.revision or folder_revision(folder))
            encoder = self._known(reference) or BatchedEncoder(self.loader.load(reference, found))
            self.also(reference, encoder)
        return encoder

    def also(self, reference: EncoderReference, encoder: BatchedEncoder) -> None:
        """Let an encoder that was got here answer to another reference to the same weights, so that it is
        loaded once."""
        with self._lock:
            self._asked.setdefault(reference, encoder)

    def loaded(self) -> tuple[EncoderSpec, ...]:
        """Return the specs of the encoders in memory."""
        with self._lock:
            return tuple(encoder.spec for encoder in self._in_memory())

    def close(self) -> None:
        """Stop every encoder; later calls raise Unavailable."""
        with self._lock:
            self._closed = True
            encoders = self._in_memory()
        for encoder in encoders:
            encoder.close()

    def _find_registered(self, name: str) -> BatchedEncoder | None:
        with self._lock:
            self._check_open()
            return self._registered.get(name)

    def _load_once(self, reference: EncoderReference, *, folders: bool = True) -> BatchedEncoder:
        if folders and (known := self._known(reference)):
            return known
        with self._loading:
            if folders and (known := self._known(reference)):
                return known
            found = self.loader.find(reference, folders=folders)
            encoder = self._same(reference, found.revision) or BatchedEncoder(
                self.loader.load(reference, found)
            )
            with self._lock:
                closed = self._closed
                if not closed and (folders or encoder.spec.revision == reference.revision):
                    self._asked[reference] = encoder
        if closed:  # while it was being loaded
            encoder.close()
            raise _closed_error()
        return encoder

    def _known(self, reference: EncoderReference) -> BatchedEncoder | None:
        with self._lock:
            self._check_open()
            return self._asked.get(reference)

    def _same(self, reference: EncoderReference, revision: str) -> BatchedEncoder | None:
        """Return the same weights if they are in memory under another reference, such as without a
        revision."""
        wanted = (reference.name, reference.model, revision)
        with self._lock:
            specs = ((encoder, encoder.spec) for encoder in self._in_memory())
            return next(
                (encoder for encoder, spec in specs if (spec.name, spec.model, spec.revision) == wanted), None
            )

    def _in_memory(self) -> list[BatchedEncoder]:
        return list(dict.fromkeys([*self._registered.values(), *self._asked.values()]))

    def _check_open(self) -> None:
        if self._closed:
            raise _closed_error()


def _matching(spec: EncoderSpec, encoder: BatchedEncoder) -> BatchedEncoder:
    check_encoder(spec, encoder.spec)
    return encoder


def _closed_error() -> Unavailable:
    return Unavailable("The encoders are closed: the service is shutting down.")
