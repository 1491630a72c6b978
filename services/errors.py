"""Every error a user can meet: a stable ``code`` for programs and a sentence that says what to do for
people."""

from __future__ import annotations

from typing import ClassVar


class VitrineError(Exception):
    """Base of all errors that users can meet. ``details`` is small and JSON-serialisable."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(VitrineError):
    """An argument is malformed or out of its range."""

    code = "bad_request"


class MissingExtra(BadRequest):
    """What is asked for needs a library that comes with an extra, such as ``vitrine[train]``."""

    code = "missing_extra"


class BadVector(VitrineError):
    """A vector has the wrong shape, name or norm, or is not finite."""

    code = "bad_vector"


class UnknownField(VitrineError):
    """A filter, facet or order names a payload field that has no index."""

    code = "unknown_field"


class UnknownVector(VitrineError):
    """``using`` names a vector that the category does not have."""

    code = "unknown_vector"


class UnsupportedQuery(VitrineError):
    """The encoder cannot encode this kind of query, such as a text with a vision-only encoder."""

    code = "unsupported_query"


class NotFound(VitrineError):
    """A category, image or object does not exist."""

    code = "not_found"


class AlreadyExists(VitrineError):
    """What is to be created exists, and differs."""

    code = "already_exists"


class Conflict(VitrineError):
    """Others changed the same thing at the same moment; nothing of this change was written."""

    code = "conflict"


class EncoderMismatch(VitrineError):
    """A category was filled by another revision or preprocessing of its encoder."""

    code = "encoder_mismatch"


class TaggerMismatch(VitrineError):
    """A tagger was trained on another vector, or another revision of its encoder, than the category has."""

    code = "tagger_mismatch"


class TooFewExamples(VitrineError):
    """There are too few labelled images to train or to judge with."""

    code = "too_few_examples"


class WorseEncoder(VitrineError):
    """An encoder to be promoted finds less than the one in service."""

    code = "worse_encoder"


class ModelUnavailable(VitrineError):
    """The weights are neither in a folder, nor in the cache, nor on a reachable hub."""

    code = "model_unavailable"


class UnsoundEncoder(ModelUnavailable):
    """The weights load, but their vectors are wrong: random, not finite, or others under load than alone."""

    code = "unsound_encoder"


class BadSource(VitrineError):
    """A folder, archive or manifest to be indexed cannot be read as such."""

    code = "bad_source"


class TooManyGone(VitrineError):
    """More images would leave a category at once than is likely to be meant."""

    code = "too_many_gone"


class StoreLocked(VitrineError):
    """Another process owns the data directory."""

    code = "store_locked"


class ReadOnly(VitrineError):
    """Something is to be changed in a data folder that is open for reading only."""

    code = "read_only"


class StoreDamaged(VitrineError):
    """A store opens with less than it had acknowledged."""

    code = "store_damaged"


class OtherFormat(StoreDamaged):
    """What is stored was written by another version of Vitrine, in a format that this one does not read."""

    code = "other_format"


def remedy(category: str, lead: str = "Restore it from a backup, or build it again") -> str:
    """Return the sentence on what brings a category with a damaged manifest or collection back."""
    return (
        f"{lead}: `vitrine category delete {category}` keeps the "
        f"pictures of a damaged category, then `vitrine category create {category}` (with its "
        f"encoders) and `vitrine index add objects:{category}/images/ -c {category}`. "
        f"{lost_with_points(category)}"
    )


def rebuilt(category: str) -> str:
    """Return the sentence on what brings a category with a damaged collection back, whose manifest is
    whole."""
    return (
        f"`vitrine category rebuild {category}` makes it again from its pictures and the journal of what "
        "people said; or restore it from a backup."
    )


def lost_with_points(category: str) -> str:
    """Return the sentence on what is lost with the points, and where it may be found again."""
    return (
        "Tags, classes and metadata were in what is lost: of a table that was made with `vitrine "
        f"export table`, `vitrine images annotate -c {category} -t TABLE --on id --column-of-names id` "
        "brings them back."
    )


class StorageFull(VitrineError):
    """Too little disk space is free to write safely."""

    code = "storage_full"


class Unavailable(VitrineError):
    """A store or server does not answer."""

    code = "unavailable"


class MissingCredentials(VitrineError):
    """A store is named without the keys it needs."""

    code = "missing_credentials"


class Unauthorized(VitrineError):
    """No API key, or an unknown one."""

    code = "unauthorized"


class Forbidden(VitrineError):
    """The API key lacks the scope."""

    code = "forbidden"


class UrlsOff(VitrineError):
    """Pictures are named by URL over HTTP, which the settings do not allow."""

    code = "urls_off"


class TooLarge(VitrineError):
    """A request body is over its limit."""

    code = "too_large"


class ImageRefused(VitrineError):
    """An image is not indexed; ``reason`` is one of REFUSALS and becomes the code."""

    code = "image_refused"

    def __init__(self, reason: str, message: str, **details: object) -> None:
        super().__init__(message, reason=reason, **details)
        self.reason = reason


REFUSALS = {
    "empty_file": "the file has no bytes",
    "unsupported_format": "the content is not an image format that Vitrine reads",
    "damaged_image": "the file is cut short or does not decode",
    "too_many_pixels": "the picture has more pixels than the cap",
    "file_too_large": "the file has more bytes than the cap",
    "unreadable_file": "the file cannot be opened",
    "image_missing": "a manifest names a picture that is not there",
    "bad_row": "a manifest row is malformed",
    "bad_vector": "an adopted vector has the wrong shape or is not finite",
    "bad_url": "the URL cannot be read, or names a user or a password",
    "url_not_allowed": "its host, address or port must not be asked",
    "url_dead": "there is no such host, or it has no picture there",
    "url_failed": "the server fails or breaks off, also when it is asked again",
    "url_too_slow": "the server takes too long",
    "too_many_redirects": "the server leads on and on",
    "encoded_answer": "the server sends it compressed, though that was not asked for",
}
"""Why an image was refused: the stable reason, and what it means."""


def because(error: BaseException) -> str:
    """Return what went wrong in the words of the system or the library, without the full stop."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words.strip().rstrip(".") or "no reason is given"
