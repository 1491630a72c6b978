"""The one form in which words are stored and compared."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC), so that what looks the same is the same. Bytes that are no
    text: ``?``.

    >>> composed("Zu\u0308rich") == "Z\u00fcrich"
    True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())


def as_label(text: str) -> str:
    """The text as a label of a plot, whose dollar signs do not begin a formula."""
    return text.replace("$", r"\$")


def spellings(path: str) -> list[str]:
    """How a path of another system may be written here: as it is, with slashes for backslashes, composed and
    decomposed.

    >>> spellings("img\\\\0.jpg")
    ['img\\\\0.jpg', 'img/0.jpg']
    """
    slashed = dict.fromkeys((path, path.replace("\\", "/")))
    forms = [
        text if form is None else unicodedata.normalize(form, text)
        for text in slashed
        for form in (None, "NFC", "NFD")
    ]
    return list(dict.fromkeys(forms))
