"""Reports on the training of a category's encoders, as the files that came with them."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.responses import Response

from vitrine.api.deps import RuntimeDep, no_other_parameters
from vitrine.api.files import REVALIDATED, file_response, named
from vitrine.api.route import router as new_router
from vitrine.api.schemas.findings.reports import ReportOut, ReportsOut
from vitrine.services.encoders.families.stored import stored_reports
from vitrine.services.errors import NotFound
from vitrine.services.object_store.keys import media_type_of

router = new_router("reports", "/v1/categories/{category}/reports", "read")


@router.get("", dependencies=[Depends(no_other_parameters())])
def list_reports(category: str, runtime: RuntimeDep) -> ReportsOut:
    """List the reports and plots that the training of the category's encoders left: of those that were
    promoted, or added as a folder. 404 ``not_found``."""
    path = f"/v1/categories/{quote(category, safe='')}/reports"
    return ReportsOut(
        reports=[
            ReportOut(
                encoder=spec.name,
                file=name,
                bytes=stat.size,
                media_type=media_type_of(name),
                modified_at=stat.modified.isoformat(timespec="milliseconds"),
                url=f"{path}/{quote(spec.name, safe='')}/{name}",
            )
            for spec in runtime.catalog.get(category).encoders
            for name, stat in stored_reports(runtime.objects, spec.model).items()
        ]
    )


@router.get(
    "/{encoder}/{file}",
    responses={200: {"content": {"text/markdown": {}, "application/json": {}, "image/png": {}}}},
    response_class=Response,
)
def get_report(category: str, encoder: str, file: str, request: Request, runtime: RuntimeDep) -> Response:
    """Return one of these files, or a range of its bytes. Pictures that ``report.md`` shows lie next to it.
    404 ``not_found``."""
    spec = runtime.catalog.get(category).encoder(encoder)
    found = stored_reports(runtime.objects, spec.model)
    if file not in found:
        there = ", ".join(found) or "none"
        raise NotFound(
            f"The encoder {encoder!r} of category {category!r} has no report {file[:80]!r}; it has: {there}.",
            encoder=encoder,
            file=file[:80],
        )
    data = runtime.objects.get(found[file].key)
    return file_response(
        request,
        lambda start, count: data[start:] if count is None else data[start : start + count],
        size=len(data),
        etag=f'"{hashlib.sha256(data).hexdigest()}"',
        media_type=media_type_of(file),
        disposition=named(file),
        cache=REVALIDATED,  # an encoder that is promoted again brings its latest report
    )
