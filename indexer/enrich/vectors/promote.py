"""Put a trained encoder into service: store its files, embed every image, and then switch in one write.

Queries by the alias are answered from the former vector until then, and the former vector stays for
``rollback``. A kill at any moment leaves the alias as it was; the same call again goes on where it ended.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.indexer.enrich.vectors.reembed import FillReport, VectorFiller
from vitrine.indexer.job.job import Report, Status
from vitrine.indexer.job.progress import Progress
from vitrine.services.category.catalog import Category
from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.families.bundle import whole_folder
from vitrine.services.encoders.families.stored import save_stored, storable_files, stored_model, stored_prefix
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import folder_revision
from vitrine.services.errors import BadRequest, EncoderMismatch, NotFound
from vitrine.services.runtime import Runtime

_ALIAS = re.compile(
    r"[a-z0-9][a-z0-9_-]{0,55}"
)  # a number is put behind it, and vectors are called by 64 characters at most
_ROUNDS = 20


@dataclass
class PromoteReport(Report):
    """What a promotion or rollback did. ``alias`` is answered by ``using`` if ``switched``, else still by
    ``former``.

    ``reused``: the category had a vector of this revision. ``fill`` names the images that go without a
    vector. ``default_only``: the name's vector stays; what changed is whether queries without ``using`` go to
    it. ``comparison``: how it did against the encoder in service, where they were compared.
    """

    category: str
    alias: str
    using: str
    former: str | None
    fill: FillReport
    switched: bool = False
    reused: bool = False
    default_only: bool = False
    comparison: dict[str, Any] | None = None

    @property
    def status(self) -> Status:
        """Return the status of the fill; failed if nothing was switched."""
        return "failed" if self.fill.status == "complete" and not self.switched else self.fill.status

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"fill": self.fill.to_json(), "seconds": round(self.fill.seconds, 3)}

    def summary(self) -> str:
        back = f"vitrine metric rollback {self.alias} -c {self.category}"
        if self.default_only:
            asked = f"Queries of {self.category!r} without --using"
            return f"{asked} are answered by {self.using} now, not by {self.former}; back: {back}."
        now = f"{self.alias!r} of {self.category!r} is answered by {self.using} now"
        kept = f"; {self.former} is kept: {back}" if self.former else ""
        still = (
            f"{self.alias!r} is answered by {self.former} as before"
            if self.former
            else f"{self.alias!r} is not in service yet"
        )
        return "\n".join(
            [
                self.fill.summary(),
                *self.notes,
                f"{now}{kept}." if self.switched else f"Not switched: {still}.",
            ]
        )


def promote(
    runtime: Runtime,
    category: str,
    folder: Path,
    *,
    name: str,
    default: bool = True,
    check: Callable[[BatchedEncoder], None] | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> PromoteReport:
    """Serve the encoder in ``folder`` as ``name`` in a category, from a vector of its own: ``<name>-<n>``.

    Stores the folder, embeds every image that lacks the vector, and switches ``name`` to it once none does
    but those whose pictures cannot be read. ``default``: queries without ``using`` go to ``name`` as well.
    The same revision again reuses its vector, so a killed promotion is continued by the same call. ``check``
    is given the loaded encoder and may raise, such as ``WorseEncoder``: then nothing of it stays.

    Raises before anything is embedded: ``NotFound`` (category), ``BadRequest`` (name), ``ModelUnavailable``
    (folder).
    """
    cat = runtime.catalog.get(category)
    check_alias(cat, name)
    with whole_folder(folder, runtime.encoders.loader) as whole:
        known = _known(cat, name, folder_revision(whole))
        if known and check:
            check(runtime.encoders.for_category(known))
        spec = known or _add(runtime, cat, whole, name, check)
    report, filler = _start(runtime, cat, name, spec, progress, stop)
    report.reused = known is not None
    return _complete(runtime, report, filler, default=default)


def rollback(
    runtime: Runtime,
    category: str,
    name: str,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> PromoteReport:
    """Answer ``name`` from the vector that it was answered from before; again: back.

    The images that were added since are embedded first. Was ``name`` promoted once only, there is none
    before: then queries without ``using`` go to what was the default. ``NotFound`` if there was nothing else
    in its place.
    """
    cat = runtime.catalog.get(category)
    in_service = cat.promoted.get(name, ())
    if in_service[1:] == () and (cat.default == name or name in cat.replaced):
        return _change_default(runtime, cat, name)
    if len(in_service) < 2:
        known = ", ".join(cat.promoted) or "none"
        raise NotFound(
            f"{name!r} of category {category!r} has no former encoder to go back to; promoted are: {known}.",
            using=name,
        )
    return _complete(
        runtime, *_start(runtime, cat, name, cat.encoder(in_service[1]), progress, stop), default=False
    )


def _change_default(runtime: Runtime, category: Category, name: str) -> PromoteReport:
    """Go back to what was the default before ``name``, or, if that is the default already, to ``name``. Both
    have all images."""
    default = category.replaced.get(name) if category.default == name else name
    using = runtime.catalog.set_default(category.name, default).encoder().name
    fill = FillReport(category.name, using)
    return PromoteReport(
        category.name, name, using, category.encoder().name, fill, switched=True, default_only=True
    )


def check_alias(category: Category, name: str) -> None:
    """Raise ``BadRequest`` unless trained encoders can be served under this name."""
    if not _ALIAS.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name an encoder: use 1 to 56 of a-z, 0-9, - and _, beginning with a "
            "letter or digit."
        )
    if any(spec.name == name for spec in category.encoders):
        raise BadRequest(
            f"{name!r} is a vector of category {category.name!r} itself: promote under another name.",
            name=name,
        )


def versions(category: Category, name: str) -> list[EncoderSpec]:
    """Return the encoders that were added as ``<name>-<n>``, latest first."""
    numbered = [(_number(spec.name, name), spec) for spec in category.encoders]
    return [spec for number, spec in sorted(numbered, key=lambda pair: -pair[0]) if number]


def _known(category: Category, name: str, revision: str) -> EncoderSpec | None:
    return next((spec for spec in versions(category, name) if spec.revision == revision), None)


def _add(
    runtime: Runtime,
    category: Category,
    folder: Path,
    name: str,
    check: Callable[[BatchedEncoder], None] | None,
) -> EncoderSpec:
    """Load and check the encoder, then store its folder, from where every server loads it, and give it a
    vector of its own. Another program may promote at the same moment: then the next number is free, or the
    same encoder has a vector already."""
    storable_files(folder)
    prefix, revision = stored_prefix(category.name, name), folder_revision(folder)
    while True:
        taken = {*category.promoted, *(spec.name for spec in category.encoders)}
        number = max((_number(vector, name) for vector in taken), default=0) + 1
        reference = EncoderReference(f"{name}-{number}", stored_model(prefix, revision), revision)
        encoder = runtime.encoders.get_from(folder, reference)
        if check:
            check(encoder)  # before anything is stored, so that nothing of what it refuses stays
            check = None
        save_stored(runtime.objects, folder, prefix)
        try:
            runtime.catalog.add_encoder(category.name, encoder.spec)
            return encoder.spec
        except EncoderMismatch:
            category = runtime.catalog.manifest(category.name)
            if all(spec.name != reference.name for spec in category.encoders):
                raise
        if known := _known(category, name, revision):
            return known


def _number(vector: str, name: str) -> int:
    """Return 2 for look-2; 0 for a vector that is no version of ``name``."""
    found = re.fullmatch(rf"{re.escape(name)}-([1-9][0-9]*)", vector)
    return int(found[1]) if found else 0


def _start(
    runtime: Runtime,
    category: Category,
    name: str,
    spec: EncoderSpec,
    progress: Progress | None,
    stop: threading.Event | None,
) -> tuple[PromoteReport, VectorFiller]:
    filler = VectorFiller(runtime, category.name, spec.name, progress=progress, stop=stop)
    in_service = category.promoted.get(name, ())
    former = next((vector for vector in in_service if vector != spec.name), None)
    return PromoteReport(category.name, name, spec.name, former, filler.report), filler


def _complete(
    runtime: Runtime, report: PromoteReport, filler: VectorFiller, *, default: bool
) -> PromoteReport:
    """Fill, switch once nothing is lacking, and take what another process wrote at that very moment."""
    for _ in range(_ROUNDS):
        if not filler.run().complete:
            return report
        with runtime.catalog.writing(
            report.category
        ):  # nobody of this process adds an image between the look and the switch
            if next(filler.lacking(), None) is None:
                _check_some(runtime, report)
                now = runtime.catalog.promote(report.category, report.alias, report.using, default=default)
                report.former = next(iter(now.promoted[report.alias][1:]), None)
                report.switched = True
                break
    else:
        report.notes.append("Images came in faster than they were embedded: run it again when fewer do.")
        return report
    filler.run()
    report.notes += _tagger_notes(runtime, report)
    return report


def _check_some(runtime: Runtime, report: PromoteReport) -> None:
    """Raise ``NotFound`` if no picture could be read: a store without its pictures must not leave the alias
    with an empty vector."""
    images = runtime.vectors.count(report.category)
    if images and len(report.fill.failed) >= images:
        raise NotFound(
            f"None of the {images} pictures of category {report.category!r} can be read from the "
            "object store, so nothing was switched: check MINIO_ENDPOINT, MINIO_BUCKET and "
            "VITRINE_DATA.",
            category=report.category,
        )


def _tagger_notes(runtime: Runtime, report: PromoteReport) -> list[str]:
    """Return notes on taggers whose vector is out of service now: they score no new images."""
    category = runtime.catalog.get(report.category)
    active = {spec.name for spec in category.active_encoders}
    tags = [head.tag for head in runtime.taggers.in_service(category.name) if head.using not in active]
    if not tags:
        return []
    shown = ", ".join(tags[:5]) + (f" and {len(tags) - 5} more" if len(tags) > 5 else "")
    return [
        f"The taggers {shown} are on a former vector, which new images do not get: train them again on "
        f"{report.alias}."
    ]
