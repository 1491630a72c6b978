"""One image on its way through the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vitrine.indexer.job.conflicts import Conflict
from vitrine.indexer.job.payloads import FileFacts
from vitrine.indexer.job.report import NearDuplicate
from vitrine.indexer.sources.records import ImageRecord, Refusal
from vitrine.services.category.payload import settled
from vitrine.services.domain import Embedding, IndexKind, Payload
from vitrine.services.encoders.batching import Prepared
from vitrine.services.errors import BadRequest, ImageRefused


@dataclass(eq=False)
class Item:
    """One image on its way through the indexing loop. At most one of ``refusal``, ``skipped`` and ``dropped``
    (a copy of ``near`` that is not to be indexed) is set; ``facts`` is there once it is decoded, and a
    ``thumbnail`` where it was made on the way; ``several`` says that its file has more frames; ``twin`` is an
    earlier item with the same bytes. ``kinds``: of the columns in ``said``, by path."""

    record: ImageRecord
    data: bytes = b""
    sha256: str = ""
    id: str = ""
    said: Payload = field(default_factory=dict)
    kinds: Mapping[str, IndexKind] = field(default_factory=dict)
    refusal: Refusal | None = None
    skipped: bool = False
    near: NearDuplicate | None = None
    conflicts: tuple[Conflict, ...] = ()
    dropped: bool = False
    known: bool = False
    twin: Item | None = None
    needs: tuple[str, ...] = ()
    facts: FileFacts | None = None
    thumbnail: bytes | None = None
    several: bool = False
    prepared: dict[str, Prepared] = field(default_factory=dict)
    vectors: dict[str, Embedding] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def going(self) -> bool:
        return self.refusal is None and not self.skipped and not self.dropped

    def fit(self, kinds: Mapping[str, IndexKind]) -> None:
        """Cast the values of metadata columns to the kinds that the columns have now; refuse the image if one
        does not fit."""
        try:
            self.said["metadata"], self.kinds = settled(self.said.get("metadata", {}), kinds)
        except BadRequest as error:
            self.refuse(ImageRefused("bad_row", error.message))

    def refuse(self, error: ImageRefused) -> None:
        self.refusal = Refusal(error.reason, error.message)
        self.data = b""
