"""The application: settings in, an ASGI app out. Nothing is opened before the lifespan begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version

from fastapi import FastAPI

from vitrine.api.auth import KeyRing, LocalOnly, refuse_open_bind
from vitrine.api.errors import install
from vitrine.api.metrics import Metrics
from vitrine.api.observe import HeadLikeGet, Observed
from vitrine.api.openapi import describe
from vitrine.api.readiness import Readiness
from vitrine.api.routes import (
    categories,
    clusters,
    compat,
    encoders,
    facets,
    health,
    images,
    labelling,
    maps,
    metadata,
    search,
    taggers,
)
from vitrine.api.thumbnails import ThumbnailCache
from vitrine.services.runtime import MB, Runtime, open_runtime
from vitrine.services.settings import Settings
from vitrine.services.vector_store.base import VectorStore

DESCRIPTION = """Image search: by picture, text, example and filter.

Every image belongs to a *category*. Errors are problem documents (`application/problem+json`) with a stable
`code`. Similarities are cosine similarities in -1..1,
higher is closer. Every response carries `X-Request-ID`."""


# labelling comes before taggers, whose {tag:path} would take its paths
_PARTS = (
    categories, search, images, metadata, facets, clusters, maps, labelling, taggers, encoders, health, compat
)  # fmt: skip


def create_app(settings: Settings, *, runtime: Runtime | None = None) -> FastAPI:
    """Return the API over ``runtime``, or over one of its own that lives as long as the app serves.

    ``RefusedToStart`` if the settings would open it to others without a key, or name keys that are malformed.
    """
    refuse_open_bind(settings)
    keys = KeyRing.of(settings)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _runtime(settings, runtime) as opened:
            app.state.runtime = opened
            app.state.readiness = Readiness(
                {"vectors": lambda: _ask(opened.vectors), "objects": opened.objects.check}
            )
            yield

    app = FastAPI(
        title="Vitrine",
        version=version("vitrine"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.state.keys = keys
    app.state.metrics = metrics
    app.state.max_body_bytes = settings.max_upload_mb * MB
    app.state.thumbnails = ThumbnailCache()
    for part in _PARTS:
        app.include_router(part.router)
    app.include_router(compat.open_router)
    install(app)
    describe(app)
    # The last one added is the outermost.
    app.add_middleware(HeadLikeGet)
    if not keys:
        app.add_middleware(LocalOnly)
    app.add_middleware(Observed, metrics=metrics)
    return app


def _runtime(settings: Settings, given: Runtime | None) -> AbstractContextManager[Runtime]:
    return nullcontext(given) if given is not None else open_runtime(settings, command="vitrine serve")


def _ask(vectors: VectorStore) -> None:
    """Have the engine itself answer: the names of the collections may come from this process's memory."""
    for name in vectors.collections()[:1]:
        vectors.info(name)
