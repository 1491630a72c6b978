"""`vitrine.open`: the categories of a data folder or of servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings, read_settings

if TYPE_CHECKING:
    from vitrine.category import Category
    from vitrine.jobs import LibraryJobs
    from vitrine.services.category.changes.outcomes import Undone


def open(
    data: str | os.PathLike[str] | None = None,
    *,
    models: str | os.PathLike[str] | None = None,
    encoder: str | None = None,
    precision: Literal["auto", "float32", "bfloat16"] | None = None,
    device: str | None = None,
    threads: int | None = None,
    offline: bool | None = None,
    qdrant_url: str | None = None,
    qdrant_api_key: str | None = None,
    minio_endpoint: str | None = None,
    minio_access_key: str | None = None,
    minio_secret_key: str | None = None,
    minio_bucket: str | None = None,
    minio_prefix: str | None = None,
    minio_secure: bool | None = None,
    progress: bool = True,
) -> Library:
    """Open the categories in the folder ``data``, or on a Qdrant server with an S3 store.

    Use it in a ``with``, or call ``close``: one program at a time has a data folder open.

    ``data``: the folder, made if it is missing. ``models``: a folder with model folders, looked into before
    any hub. ``encoder``: for new categories. ``precision``, ``device`` (auto, cpu, cuda, cuda:N): how
    encoders run. ``threads``: of the decoding pool; 0: one a core. ``offline``: never ask a model hub.
    ``qdrant_...`` and ``minio_...``: the servers. What is not given comes from the environment and ``.env``,
    as for the command line; .env.example explains each. ``progress``: show how long work goes on, as a bar in
    a terminal or a notebook and as lines elsewhere.

    Raises ``BadRequest`` (a setting is wrong), ``StoreLocked``, ``StoreDamaged``, ``Unavailable``,
    ``MissingCredentials``.
    """
    settings = read_settings(
        {
            "data": data,
            "models": models,
            "encoder": encoder,
            "precision": precision,
            "device": device,
            "threads": threads,
            "offline": offline,
            "qdrant_url": qdrant_url,
            "qdrant_api_key": qdrant_api_key,
            "minio_endpoint": minio_endpoint,
            "minio_access_key": minio_access_key,
            "minio_secret_key": minio_secret_key,
            "minio_bucket": minio_bucket,
            "minio_prefix": minio_prefix,
            "minio_secure": minio_secure,
        }
    )
    with ExitStack() as stack:
        runtime = stack.enter_context(open_runtime(settings, command="a program that called vitrine.open()"))
        return Library(runtime, stack.pop_all().close, progress=progress)


class Library:
    """The categories that are open, by name: ``v["shop"]``, ``"shop" in v``, ``for name in v``."""

    def __init__(self, runtime: Runtime, close: Callable[[], None], *, progress: bool = True) -> None:
        self._runtime: Runtime | None = runtime
        self._close = close
        self._jobs: LibraryJobs | None = None
        self.progress = progress

    @property
    def runtime(self) -> Runtime:
        """The stores, the encoders and the searcher behind it. ``BadRequest`` once it is closed."""
        if self._runtime is None:
            raise BadRequest("This library is closed: open it again with vitrine.open().")
        return self._runtime

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.runtime.settings

    @property
    def jobs(self) -> LibraryJobs:
        """The jobs of the server that has the same data folder."""
        if self._jobs is None:
            from vitrine.jobs import LibraryJobs
            from vitrine.services.jobs.jobs import Jobs

            self._jobs = LibraryJobs(self, Jobs(self.settings))
        return self._jobs

    def create(
        self, name: str, encoder: str | Sequence[str] | None = None, *, description: str = ""
    ) -> Category:
        """Create an empty category, bound to the revision of its encoders.

        ``encoder``: clip, vit, demo, colour, name=model[@revision], a folder or a hub name; several fill a
        vector each, and the first answers queries. None: the setting ``encoder``. Raises ``AlreadyExists``,
        ``BadRequest`` (name), ``ModelUnavailable``.
        """
        references = [encoder] if isinstance(encoder, str) else list(encoder or ())
        self.runtime.create_category(name, references, description, note=self.note)
        return self[name]

    def categories(self) -> list[Category]:
        """Return all categories, in order of name."""
        return [self[name] for name in self]

    def delete(self, name: str, *, keep_images: bool | None = None) -> None:
        """Delete a category with all its images, or what an interrupted deletion has left of one.

        ``keep_images``: the pictures stay in the object store, to be indexed again; None: only if
        the category is damaged. Raises ``NotFound``.
        """
        self.runtime.catalog.delete(name, keep_images=keep_images)

    def undo(self, token: str) -> Undone:
        """Take back an edit or a deletion of the last 24 hours, by its token: what is still as it was left
        then. Raises ``NotFound``."""
        return self.runtime.editor.undo(token)

    def close(self) -> None:
        """Close the stores. The library cannot be used any more; closing it again does nothing."""
        self._runtime = None
        if self._jobs is not None:
            self._jobs.close()
        self._close()

    def note(self, text: str) -> None:
        """Print a line for the person who waits, unless ``progress`` is off."""
        if self.progress:
            print(text, file=sys.stderr)

    def __getitem__(self, name: str) -> Category:
        from vitrine.category import Category

        self.runtime.catalog.get(name)
        return Category(self, name)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and bool(self.runtime.catalog.get(name))
        except NotFound:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter([category.name for category in self.runtime.catalog.list()])

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._runtime is None:
            return "<vitrine.Library, closed>"
        where = self.settings.qdrant_url or self.settings.data
        return f"<vitrine.Library {where}: {', '.join(self) or 'no categories'}>"
