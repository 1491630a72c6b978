"""Read forms and pictures from request bodies."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile

from vitrine.api.route import MULTIPART, LimitedRequest, media_type
from vitrine.api.schemas.findings.taggers import PictureBody
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest
from vitrine.services.validation import validated
from vitrine.services.values.kinds import column_kinds


@dataclass(frozen=True)
class SentFile:
    """One file of a form. ``field`` is its form field; ``filename`` the client's name for it, without
    folders."""

    field: str
    filename: str
    data: bytes


@dataclass(frozen=True)
class SentForm:
    """A form, in the order sent. ``fields`` collects repeated names."""

    files: Sequence[SentFile]
    fields: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str | None:
        """Return the text of a field, None if it is absent or empty. ``BadRequest`` if it was sent twice."""
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise BadRequest(
                f"The form field {name[:80]!r} is there {len(values)} times: send it once.", field=name[:80]
            )
        return values[0] if values and values[0] else None

    @property
    def kinds(self) -> dict[str, IndexKind]:
        """The kinds of columns that the form field ``columns`` names."""
        return column_kinds(text for text in self.fields.get("columns", ()) if text.strip())


def form_body(what: str) -> Callable[[Request], Awaitable[SentForm]]:
    """Return a dependency that reads a multipart form. ``what`` it should have, for who sends something
    else."""

    async def read(request: Request) -> SentForm:
        assert isinstance(request, LimitedRequest)
        form = await request.limited_form(what)
        files: list[SentFile] = []
        fields: dict[str, list[str]] = {}
        try:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files.append(SentFile(name, _base_name(value.filename or ""), await value.read()))
                else:
                    fields.setdefault(name, []).append(value)
        finally:
            await form.close()
        return SentForm(files, fields)

    return read


read_form = form_body("the image files as parts")


async def read_picture(request: Request) -> bytes:
    """Return the bytes of one picture: ``file`` in a form, or ``image`` in base64 as JSON. ``BadRequest`` for
    anything else in it."""
    if media_type(request) != MULTIPART:
        return decoded_image(validated(PictureBody, await request.json(), "body").image)
    form = await read_form(request)
    if len(form.files) != 1 or form.files[0].field != "file" or form.fields:
        raise BadRequest("Send one picture in the form field 'file', and nothing else.")
    return form.files[0].data


def decoded_image(text: str) -> bytes:
    """Return the bytes of base64 text. ``BadRequest`` for other text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(
            "'image' is not base64: encode the bytes of an image file, without a data: prefix."
        ) from None


def _base_name(filename: str) -> str:
    """Return the last part of a client's path, on one line, at most 255 characters; ``unnamed`` where nothing
    is left."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in last if character.isprintable()).strip()
    return shown[:255] if shown not in ("", ".", "..") else "unnamed"
