"""The record of an image that is named by URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from vitrine.indexer.sources.base import shown_name
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.download.downloader import Downloader
from vitrine.services.download.urls import read_url, without_secrets
from vitrine.services.errors import ImageRefused

URL_COLUMNS = ("url", "image_url")
"""Columns that name the picture by URL, where none names it by path."""


def url_record(source: str, text: str, downloads: Downloader | None, over: Callable[[], bool]) -> ImageRecord:
    """Return the record of the image at a URL, which is downloaded when its bytes are asked for; refused
    where the URL itself says already that it will not be asked. ``over``: whether nobody waits for it any
    more."""
    try:
        url = read_url(text)
        if downloads is None:
            raise ImageRefused("url_not_allowed", "Nothing is downloaded here: name files.")
        downloads.rules.check(url)
    except ImageRefused as error:
        name = shown_name(re.sub(r"^[a-z]+://", "", without_secrets(text), flags=re.IGNORECASE))
        return ImageRecord(source, name).refused(error.reason, error.message)
    return ImageRecord(
        source,
        shown_name(url.shown),
        partial(downloads.get, str(url), over=over),
        folders=tuple(shown_name("/".join(url.path)).split("/")[:-1]),
        url=str(url),
    )
