"""Reading request bodies: JSON and forms, with limits, into the models of schemas.py."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from vitrine.api.errors import UnsupportedMediaType, invalid_model
from vitrine.api.limits import (
    MAX_FILES,
    MAX_FORM_FIELD_BYTES,
    MAX_FORM_FIELDS,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
)
from vitrine.api.schemas.taggers import PictureBody
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest, TooLarge
from vitrine.services.values.kinds import column_kinds

MULTIPART = "multipart/form-data"
_QUICK_BYTES = 100_000
"""Parsed in a fraction of a millisecond: less than a trip through the thread pool costs."""
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class SentFile:
    """One file of a form. ``field`` is its form field; ``filename`` what the client called it, without
    folders."""

    field: str
    filename: str
    data: bytes


@dataclass(frozen=True)
class SentForm:
    """A form, in the order sent. ``fields`` collects repeated names."""

    files: Sequence[SentFile]
    fields: Mapping[str, Sequence[str]]


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency: the JSON body as a model. 415 for another content type, 422 for what does not fit."""

    async def read(request: Request) -> Model:
        return validated(model, await read_json(request))

    return read


async def read_json(request: Request) -> Any:
    """The JSON of the body; an empty body is an empty object. NaN, infinities and deep nesting are
    refused."""
    body = await request.body()
    if not body:
        return {}
    kind = media_type(request)
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(
            f"The body is {kind or 'of no stated type'}: send JSON with Content-Type: application/json."
        )
    if len(body) > MAX_JSON_BYTES:
        raise TooLarge(
            f"JSON bodies have at most {MAX_JSON_BYTES:,} bytes: send pictures as {MULTIPART}.",
            limit_bytes=MAX_JSON_BYTES,
        )
    if len(body) > _QUICK_BYTES:
        return await run_in_threadpool(parse_json, body, "body")
    return parse_json(body, "body")


def parse_json(text: bytes | str, where: str) -> Any:
    """``BadRequest`` for what is no JSON or nests more than 24 levels."""
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The {where} is not valid JSON: {str(error).removeprefix('str is ')}.") from None
    level, depth = [tree], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise BadRequest(f"The {where} nests more than {MAX_JSON_DEPTH} levels of objects and lists.")
    return tree


def validated(model: type[Model], tree: Any) -> Model:
    """``BadRequest`` naming the fields that do not fit."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise invalid_model(error, "body") from None


async def read_form(request: Request) -> SentForm:
    """A multipart form with image files, as ``read_parts`` has it."""
    return await read_parts(request, "the image files as parts")


async def read_table_form(request: Request) -> SentForm:
    """A multipart form with a table, as ``read_parts`` has it."""
    return await read_parts(request, "the table as the part 'file'")


async def read_parts(request: Request, what: str) -> SentForm:
    """A multipart form, parsed as it arrives. ``TooLarge`` for too many or too large parts, ``BadRequest``
    for a broken one.

    ``what`` it is to have, for who sends something else.
    """
    if media_type(request) != MULTIPART:
        raise UnsupportedMediaType(f"Send {MULTIPART} with {what}.")
    try:
        form = await request.form(
            max_files=MAX_FILES, max_fields=MAX_FORM_FIELDS, max_part_size=MAX_FORM_FIELD_BYTES
        )
    except HTTPException as error:
        too_large = error.detail.startswith(("Too many", "Part exceeded"))
        raise (TooLarge if too_large else BadRequest)(f"The form is refused: {error.detail}") from None
    files: list[SentFile] = []
    fields: dict[str, list[str]] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append(SentFile(name, base_name(value.filename or ""), await value.read()))
            else:
                fields.setdefault(name, []).append(value)
    finally:
        await form.close()
    return SentForm(files, fields)


async def read_picture(request: Request) -> bytes:
    """The bytes of one picture: ``file`` in a form, or ``image`` in base64 as JSON. ``BadRequest`` for
    anything beside it."""
    if media_type(request) != MULTIPART:
        return decoded_image(validated(PictureBody, await read_json(request)).image)
    form = await read_form(request)
    if len(form.files) != 1 or form.files[0].field != "file" or form.fields:
        raise BadRequest("Send one picture in the form field 'file', and nothing else.")
    return form.files[0].data


def decoded_image(text: str) -> bytes:
    """``BadRequest`` for what is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(
            "'image' is not base64: encode the bytes of an image file, without a data: prefix."
        ) from None


def named_kinds(form: SentForm) -> dict[str, IndexKind]:
    """The kinds of columns that the form field ``columns`` names."""
    return column_kinds(text for text in form.fields.get("columns", ()) if text.strip())


def media_type(request: Request) -> str:
    """The content type of the body, lower-case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def base_name(filename: str) -> str:
    """The last part of a client's path, on one line, at most 255 characters; ``unnamed`` where nothing is
    left."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in last if character.isprintable()).strip()
    return shown[:255] if shown not in ("", ".", "..") else "unnamed"


def _children(node: Any) -> list[Any]:
    values = node.values() if type(node) is dict else node if type(node) is list else ()
    return [value for value in values if type(value) is dict or type(value) is list]
