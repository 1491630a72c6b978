"""Repair what a check has found, as far as the rest tells how."""

from __future__ import annotations

from collections.abc import Callable

from vitrine.indexer.check.again import id_of, index_again
from vitrine.indexer.check.findings import Finding
from vitrine.indexer.enrich.vectors.reembed import fill_category
from vitrine.indexer.job.stored_images import FIELDS, embed_stored
from vitrine.indexer.sources.records import ADOPTED
from vitrine.services.category.changes.entries import batched
from vitrine.services.object_store.keys import BIN
from vitrine.services.runtime import Runtime

_PART = 128


def repair(runtime: Runtime, finding: Finding) -> None:
    """Do what the finding's advice says a repair does; nothing for a finding that has none. Whether it helped
    another look tells."""
    if finding.code in _REPAIRS:
        _REPAIRS[finding.code](runtime, finding)


def can_repair(finding: Finding) -> bool:
    """Return whether there is something that may repair it."""
    return finding.code in _REPAIRS


def _schema(runtime: Runtime, finding: Finding) -> None:
    runtime.vectors.ensure(runtime.catalog.get(finding.category).schema)


def _points(runtime: Runtime, finding: Finding) -> None:
    """Index images again whose points have lost their payload: the journal and the pictures have the rest."""
    name = finding.category
    state = runtime.journal.read(name, damaged=[])
    wanted, keys = set(finding.where), []
    for stat in runtime.objects.list(f"{name}/images/"):
        if id_of(stat.key) in wanted:
            keys.append(stat.key)
    with runtime.catalog.writing(name):
        runtime.vectors.delete(name, [id_of(key) for key in keys])
    index_again(runtime, name, keys, state)


def _alone(runtime: Runtime, finding: Finding) -> None:
    state = runtime.journal.read(finding.category, damaged=[])
    index_again(runtime, finding.category, finding.where, state)


def _missing_vectors(runtime: Runtime, finding: Finding) -> None:
    fill_category(runtime, finding.category)


def _broken_vectors(runtime: Runtime, finding: Finding) -> None:
    """Compute the vectors of these images again, all that their encoders can."""
    name, category = finding.category, runtime.catalog.get(finding.category)
    for spec in category.encoders:
        if spec.revision == ADOPTED:
            continue
        encoder = runtime.encoders.for_category(spec)
        for part in batched(finding.where, _PART):
            hits = runtime.vectors.retrieve(name, part, with_payload=FIELDS)
            found = embed_stored(runtime, encoder, [hit for hit in hits if hit is not None])
            rows = {image.id: image.row for image in found if image.row is not None}
            if rows:
                import numpy as np

                with runtime.catalog.writing(name):
                    runtime.vectors.update_vectors(name, list(rows), spec.name, np.stack(list(rows.values())))


def _count(runtime: Runtime, finding: Finding) -> None:
    runtime.catalog.set_images(finding.category, runtime.vectors.count(finding.category))


def _journal(runtime: Runtime, finding: Finding) -> None:
    name = finding.category
    if finding.code == "journal_behind":
        for part in batched(finding.where, _PART * 8):
            with runtime.catalog.writing(
                name
            ):  # or an edit in between would be written before what it changed
                hits = runtime.vectors.retrieve(name, part)
                runtime.journal.write_whole(name, {hit.id: hit.payload for hit in hits if hit is not None})
        return
    from vitrine.services.category.read_all import pages

    for page in pages(runtime.vectors, name, size=_PART * 8):
        with runtime.catalog.writing(name):
            hits = runtime.vectors.retrieve(name, [hit.id for hit in page])
            runtime.journal.write_whole(name, {hit.id: hit.payload for hit in hits if hit is not None})
    for key in finding.where:
        runtime.objects.delete(key)


def _leftovers(runtime: Runtime, finding: Finding) -> None:
    runtime.editor.sweep()
    for key in finding.where:
        if not key.startswith(BIN):
            runtime.objects.delete(key)


def _manifest(runtime: Runtime, finding: Finding) -> None:
    runtime.catalog.restore_manifest(finding.category)


_REPAIRS: dict[str, Callable[[Runtime, Finding], None]] = {
    "manifest_damaged": _manifest,
    "index_missing": _schema,
    "point_damaged": _points,
    "object_without_point": _alone,
    "vector_missing": _missing_vectors,
    "vector_damaged": _broken_vectors,
    "count_wrong": _count,
    "journal_damaged": _journal,
    "journal_behind": _journal,
    "leftover": _leftovers,
}
