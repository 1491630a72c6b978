"""Lay the stored vectors out on a plane and write each image's place to its payload; safe to kill at any
moment.

The order: lay out, save what is known of the map, write every image's place under a new key, let the key
answer for the name, take the former key away. Until the switch no query sees the new key; a map that was
killed before it leaves a key that the next one of that name removes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitrine.indexer.enrich.maps.coordinates import MAPS, lacking, placed, points
from vitrine.indexer.enrich.maps.layout import NEAREST, Layout, among, lay_out
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.job.job import Advance, Job
from vitrine.indexer.job.payload_writer import PAGE, Change, PayloadWriter, revise
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.versions import VersionReport
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.category.catalog import Category
from vitrine.services.domain import EncoderSpec, Hit, Near, Payload, Query
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime

_AT_ONCE = 100
"""New images that are looked up and placed at a time."""


@dataclass
class MapReport(VersionReport):
    """What became of the images of a map, complete or not."""

    category: str
    map: str
    using: str
    method: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> str:
        if self.interrupted:
            left = "what was placed stays" if self.in_service else "the map is what it was before"
            return f"Interrupted: {left}. Run again to go on."
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        metrics = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.metrics.items())
        first = f"{self.map}: {self.written} images placed by {self.method} on {self.using}; {spent}"
        return f"{first}\n  {metrics}".rstrip()


def make_map(
    runtime: Runtime,
    category: str,
    name: str,
    options: MapOptions,
    *,
    using: str | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> MapReport:
    """Lay out all images that have the named vector ``using`` (None: the category's default) and write it
    back as ``name``.

    Replaces the map of that name in one step once every image has its place. ``stop`` or Ctrl-C ends it, and
    nothing has changed for queries. Images that come in later have no place until the next map, or
    ``place_missing``.

    ``NotFound`` (category), ``UnknownVector``, ``BadRequest`` (name, options, too few images, UMAP not
    installed).
    """
    runtime.maps.check_name(name)
    cat = runtime.catalog.get(category)
    spec = cat.encoder(using)
    runtime.check_writable()
    report = MapReport(category, name, spec.name, options.method)
    job = Job(runtime, category, report, progress, stop)
    with job.running():
        _make(job, cat, spec, options, report)
    return report


def place_missing(
    runtime: Runtime,
    category: str,
    name: str,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> MapReport:
    """Place the images that have the vector but no place on the map, each at the median of its five nearest.

    The map stays as it is: for many new images make it anew. ``NotFound`` (category, map); ``BadRequest`` if
    the vector has changed since.
    """
    cat = runtime.catalog.get(category)
    made = runtime.maps.get(category, name)
    spec = cat.encoder_at(made.using, made.encoder_revision)
    if spec is None:
        raise BadRequest(
            f"The map {name!r} was made on {made.using!r} as the category has it no more: make it anew.",
            map=name,
        )
    report = MapReport(
        category, name, spec.name, made.method, key=made.key, images=made.images, in_service=True
    )
    job = Job(runtime, category, report, progress, stop)
    total = runtime.vectors.count(category, lacking(made.key, made.using))
    with job.running(), job.stage("placing", total) as advance:
        job.apart(lambda: _place(job, made, report, total, advance))
    return report


def delete_map(runtime: Runtime, category: str, name: str, *, stop: threading.Event | None = None) -> None:
    """Withdraw a map, remove it from the images, then remove its file; also what killed jobs of that name
    left.

    ``NotFound`` if there is nothing of that name.
    """
    MAPS.delete(runtime, category, name, stop=stop)


def count_missing(runtime: Runtime, category: str, made: CategoryMap) -> int:
    """Return how many images have the vector of a map in service but no place on it."""
    known = {spec.name for spec in runtime.catalog.get(category).encoders}
    return runtime.vectors.count(category, lacking(made.key, made.using)) if made.using in known else 0


def _make(job: Job, category: Category, spec: EncoderSpec, options: MapOptions, report: MapReport) -> None:
    """Go through all stages. Raises ``InterruptedError`` where the job is stopped in between."""
    runtime, name = job.runtime, category.name
    MAPS.remove_leftovers(job, report.map)
    with job.stage("laying out", runtime.vectors.count(name)) as advance:
        layout = lay_out(runtime.vectors, category, spec, options, advance)
    made = CategoryMap(
        report.map,
        options.method,
        spec.name,
        spec.revision,
        len(layout.ids),
        options.seed,
        options.parameters,
        layout.metrics,
    )
    made = runtime.maps.save(name, made)
    report.key, report.images = made.key, made.images
    report.metrics, report.parameters = dict(made.metrics), dict(made.parameters)
    runtime.catalog.ensure_indexes(name, dict.fromkeys(made.fields, "float"))
    with job.stage("writing", len(layout.ids)) as advance:
        job.apart(lambda: MAPS.write(job, report, made.key, _pages(layout), advance))
        job.check()
        runtime.maps.put_in_service(name, made.key)
    report.in_service = True
    MAPS.remove_leftovers(job, report.map)


def _pages(layout: Layout) -> Iterator[dict[str, Payload]]:
    for start in range(0, len(layout.ids), PAGE):
        page = slice(start, start + PAGE)
        yield points(layout.ids[page], layout.places[page])


def _place(job: Job, made: CategoryMap, report: MapReport, total: int, advance: Advance) -> None:
    """Write the places of the images that have none."""

    def placed_among(hits: Sequence[Hit]) -> dict[str, Change]:
        queries = [
            Query(
                Near(hit.vectors[made.using]),
                using=made.using,
                filter=placed(made.key),
                limit=NEAREST,
                with_payload=(made.payload_field,),
            )
            for hit in hits
        ]
        answers = job.runtime.vectors.query_batch(job.category, queries) if queries else []
        ids = [hit.id for hit, near in zip(hits, answers, strict=True) if near]
        places = [
            among(np.array([_place_of(one, made.key) for one in near])[None]) for near in answers if near
        ]
        found = points(ids, np.concatenate(places)) if ids else {}
        return {id: Change({made.key: point}) for id, point in found.items()}

    writer = PayloadWriter(job.runtime, job.category, key=MAPS.group)
    lack = lacking(made.key, made.using)
    for _, written in revise(
        writer, placed_among, vectors=(made.using,), filter=lack, size=_AT_ONCE, stop=job.stop
    ):
        report.written += written
        advance(report.written, total)


def _place_of(hit: Hit, key: str) -> tuple[float, float]:
    place = hit.payload["maps"][key]
    return place["x"], place["y"]
