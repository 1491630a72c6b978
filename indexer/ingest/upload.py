"""Index pictures that arrive as bytes, such as uploads to the API: by the same loop as everything else, with
an outcome for each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vitrine.indexer.job.report import ItemOutcome, NearDuplicates
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ImageRecord

if TYPE_CHECKING:
    from vitrine.services.domain import IndexKind
    from vitrine.services.runtime import Runtime

SOURCE = "upload"
URL_SECONDS = 120.0
"""How long the downloads of one request may take together: somebody waits for the answer."""


@dataclass(frozen=True)
class Upload:
    """One file as a user sent it, or the ``url`` that it is downloaded from, and what the user says about it.
    ``filename`` is shown, never opened.

    ``fields``: single values such as class and caption, as ``ImageRecord`` has them.
    """

    filename: str
    data: bytes
    tags: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None


def index_uploads(
    runtime: Runtime,
    category: str,
    uploads: Sequence[Upload],
    *,
    near_duplicates: NearDuplicates = "ignore",
    kinds: Mapping[str, IndexKind] | None = None,
) -> list[ItemOutcome]:
    """Index files; outcome i belongs to uploads[i], and is durable. An error of one file is its outcome.
    Whatever is not downloaded within ``URL_SECONDS`` is refused.

    ``near_duplicates`` and ``kinds``: as in ``index_images``.

    Raises what ends a run: ``NotFound`` (category), ``EncoderMismatch``, ``ModelUnavailable``,
    ``StorageFull`` ... Whether the encoders still give the vectors that are stored is looked at once a
    process.
    """
    from vitrine.indexer.ingest.pipeline import index_images
    from vitrine.indexer.job.same_vectors import check_same_vectors

    if uploads:
        check_same_vectors(runtime, category, once=True)
    outcomes: list[ItemOutcome] = []
    at_once = Patience(0)  # whoever waits for the answer had better hear of an outage at once
    until = time.monotonic() + URL_SECONDS
    records = [
        _record(upload) if upload.url is None else _download(runtime, upload, upload.url, until)
        for upload in uploads
    ]
    report = index_images(
        records,
        runtime,
        category,
        near_duplicates=near_duplicates,
        on_outcome=outcomes.append,
        kinds=kinds,
        patience=at_once,
    )
    if report.error:
        raise report.error
    return outcomes


def _download(runtime: Runtime, upload: Upload, url: str, until: float) -> ImageRecord:
    from vitrine.indexer.sources.urls.named import url_record

    record = url_record(SOURCE, url, runtime.downloads, lambda: time.monotonic() >= until)
    return (
        record
        if record.refusal
        else replace(record, tags=tuple(upload.tags), fields=upload.fields, metadata=upload.metadata)
    )


def _record(upload: Upload) -> ImageRecord:
    from vitrine.indexer.sources.base import shown_name

    return ImageRecord(
        SOURCE,
        shown_name(upload.filename),
        lambda: upload.data,
        tags=tuple(upload.tags),
        fields=upload.fields,
        metadata=upload.metadata,
    )
