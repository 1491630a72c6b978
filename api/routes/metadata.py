"""Metadata that comes later: a table joined to the images of a category."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, get_args

from fastapi import Depends

from vitrine.api.auth import WRITE
from vitrine.api.bodies import SentForm, form_body
from vitrine.api.deps import RuntimeDep
from vitrine.api.openapi import BINARY, COLUMNS, TEXT, TEXTS, body_of
from vitrine.api.route import router as new_router
from vitrine.api.schemas.metadata import MetadataOut
from vitrine.indexer.enrich.metadata.annotate import AnnotateOptions, annotate
from vitrine.indexer.enrich.metadata.annotate_rows import JoinOn
from vitrine.services.errors import BadRequest

router = new_router("images", "/v1/categories/{category}")
MAX_TABLE_ROWS = 200_000
"""Rows of one table of metadata: some ten seconds of work. The command line takes any number."""
_FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Not Parquet: what its pages unpack to is not bounded by the size of the file."""
_LONGEST_NAME = 200
_FLAGS = ("all_of_a_name", "overwrite", "dry_run")
_TEXTS = ("on", "column", "class_from")
_FIELDS = (*_TEXTS, *_FLAGS, "hashtags", "columns")
_FORM: dict[str, Any] = {
    "file": {**BINARY, "description": "A table: .csv, .tsv, .jsonl or .ndjson."},
    "on": {**TEXT, "enum": list(get_args(JoinOn)), "default": "name"},
    "column": {**TEXT, "description": "The column that names the image, else the usual ones."},
    "class_from": {**TEXT, "description": "The column of the class, else class."},
    "hashtags": {
        **TEXTS,
        "description": "Columns whose #hashtags go to metadata.hashtags; once for each.",
    },
    "columns": COLUMNS,
    **{name: {"type": "boolean", "default": False} for name in _FLAGS},
}


@router.post("/metadata", openapi_extra=body_of(form=_FORM, needs=["file"]), dependencies=[WRITE])
def add_metadata(
    category: str,
    runtime: RuntimeDep,
    form: Annotated[SentForm, Depends(form_body("the table as the part 'file'"))],
) -> MetadataOut:
    """Put a table's columns onto the images that its rows name; the counts of what became of the rows.

    Tags are united, metadata columns replace columns of the same name; class, caption, quality and date only
    fill gaps, unless ``overwrite``. Rows that name several images are refused, unless ``all_of_a_name``.
    Sending the same table again is safe.

    404 ``not_found``; 422 ``bad_source`` for a file that is not a table, or one without a column that names
    images.
    """
    runtime.catalog.get(category)
    name, data, options = _read(form)
    with tempfile.TemporaryDirectory(prefix="vitrine-table-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        report = annotate(runtime, category, path, options, max_rows=MAX_TABLE_ROWS)
    return MetadataOut.model_validate(report.to_json())


def _read(form: SentForm) -> tuple[str, bytes, AnnotateOptions]:
    """Return the table's name as the client has it (errors show it), its bytes, and the options."""
    unknown = [name for name in form.fields if name not in (*_FIELDS, "file")] + [
        file.field for file in form.files if file.field != "file"
    ]
    if unknown:
        raise BadRequest(f"{unknown[0][:80]!r} is not a field of this form: use file, {', '.join(_FIELDS)}.")
    if len(form.files) != 1 or "file" in form.fields:
        sent = (
            f"not {len(form.files)}"
            if form.files
            else "as a file that has a name (with curl: -F file=@table.csv)"
        )
        raise BadRequest(f"Send one table in the form field 'file', {sent}.")
    file, ending = form.files[0], PurePosixPath(form.files[0].filename).suffix.lower()
    if ending not in _FORMATS:
        raise BadRequest(
            f"{file.filename[:80]!r} is not a table that is read here: send {', '.join(_FORMATS)}."
        )
    texts = {name: (form.one(name) or "").strip() for name in (*_TEXTS, *_FLAGS)}
    given: dict[str, Any] = {name: text for name, text in texts.items() if text}
    hashtags = tuple(value for value in form.fields.get("hashtags", ()) if value)
    options = AnnotateOptions(hashtags=hashtags, kinds=form.kinds, **given)
    name = file.filename
    if len(name.encode()) > _LONGEST_NAME:  # file systems take 255 bytes
        name = f"{name[: _LONGEST_NAME // 5]}...{ending}"
    return name, file.data, options
