"""The Unicode form in which words are stored and compared."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), so that words that look the same are equal. Bytes
    that are not text become ``?``.

    >>> composed("Zu\u0308rich") == "Z\u00fcrich"
    True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "image"), counted(1_200, "image")
    ('1 image', '1,200 images')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def as_label(text: str) -> str:
    """Return the text as a label of a plot, where a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def spellings(path: str) -> list[str]:
    """Return how a path of another system may be written here: as it is, with slashes for backslashes,
    composed and decomposed.

    >>> spellings("img\\\\0.jpg")
    ['img\\\\0.jpg', 'img/0.jpg']
    """
    forms: list[str] = []
    for text in (path, path.replace("\\", "/")):
        forms += [text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]
    return list(dict.fromkeys(forms))
