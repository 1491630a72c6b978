"""The application: settings in, an ASGI app out. Nothing is opened before the lifespan begins."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version

from anyio import CapacityLimiter
from fastapi import FastAPI

from vitrine.api import page
from vitrine.api.auth import Guesses, KeyRing, LocalOnly, refuse_open_bind
from vitrine.api.errors import install
from vitrine.api.metrics import Metrics
from vitrine.api.observe import HeadLikeGet, Observed
from vitrine.api.openapi import describe
from vitrine.api.readiness import Readiness
from vitrine.api.route import DirectRoutes
from vitrine.api.routes import (
    categories,
    compat,
    encoders,
    health,
    images,
    jobs,
    metadata,
    pictures,
    search,
    session,
    several,
)
from vitrine.api.routes.changes import batch, saved
from vitrine.api.routes.counts import columns, facets, summary
from vitrine.api.routes.findings import clusters, duplicates, labelling, maps, reports, taggers
from vitrine.api.session import Sessions, shared_secret
from vitrine.services.errors import StoreDamaged
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.runtime import MB, Runtime, open_runtime
from vitrine.services.settings import Settings
from vitrine.services.vector_store.base import VectorStore

DESCRIPTION = """Image search: by picture, text, example and filter.

Every image belongs to a *category*. Errors are problem documents (`application/problem+json`) with a stable
`code`. Similarities are cosine similarities in -1..1,
higher is closer. Every response carries `X-Request-ID`."""


# labelling comes before taggers, whose {tag:path} would take its paths
_PARTS = (
    session, categories, search, several, summary, columns, images, pictures, batch, saved, metadata, facets,
    clusters, maps, duplicates, labelling, taggers, reports, jobs, encoders, health, compat,
)  # fmt: skip


def create_app(settings: Settings, *, runtime: Runtime | None = None, work: Jobs | None = None) -> FastAPI:
    """Return the API over ``runtime``, or over one of its own that lives as long as the app serves. ``work``:
    its jobs, if not those of the settings; whoever serves has them run.

    ``RefusedToStart`` if the settings would open it to others without a key, or name keys that are malformed.
    """
    refuse_open_bind(settings)
    keys = KeyRing.of(settings)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _runtime(settings, runtime) as opened:
            app.state.runtime = opened
            if settings.urls_over_http:
                _ = opened.downloads  # a mistake in its settings is the operator's, not the first caller's
            app.state.readiness = Readiness(
                {"vectors": lambda: _ask(opened.vectors), "objects": opened.objects.check},
                opened.catalog.damaged,
            )
            yield
        if work is None:
            app.state.jobs.close()

    app = FastAPI(
        title="Vitrine",
        version=version("vitrine"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # the page has it: api/page.py
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.keys = keys
    app.state.guesses = Guesses()
    app.state.sessions = Sessions(
        (digest for digest, _ in keys.digests), lambda: shared_secret(app.state.runtime.objects)
    )
    app.state.metrics = metrics
    app.state.jobs = work or Jobs(settings)
    app.state.ending = threading.Event()  # set when the server is to end: answers without an end stop
    app.state.max_body_bytes = settings.max_upload_mb * MB
    app.state.painters = CapacityLimiter(os.cpu_count() or 1)
    others = (pictures.direct, pictures.sent, compat.open_router, page.router)
    routers = [*(part.router for part in _PARTS), *others]
    for router in routers:
        app.include_router(router)
    install(app)
    describe(app)
    # The last one added is the outermost.
    app.add_middleware(DirectRoutes, routes=[route for router in routers for route in router.routes])
    app.add_middleware(HeadLikeGet)
    if not keys:
        app.add_middleware(LocalOnly)
    app.add_middleware(Observed, metrics=metrics)
    return app


def _runtime(settings: Settings, given: Runtime | None) -> AbstractContextManager[Runtime]:
    return nullcontext(given) if given is not None else open_runtime(settings, command="vitrine serve")


def _ask(vectors: VectorStore) -> None:
    """Have the engine itself answer: the names of the collections may come from this process's memory. A
    damaged collection says nothing about the others; ``StoreDamaged`` where none of them opens."""
    damaged: StoreDamaged | None = None
    for name in vectors.collections():
        try:
            vectors.info(name)
            return
        except StoreDamaged as error:
            damaged = error
    if damaged is not None:
        raise damaged
