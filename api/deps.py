"""What routes take as arguments: types that say where they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from vitrine.api.metrics import Metrics
from vitrine.api.readiness import Readiness
from vitrine.services.category.filters import Conditions, conditions_from_pairs
from vitrine.services.errors import BadRequest
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.base import MAX_LIMIT


def _state(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Return a dependency that gives what the app keeps under ``app.state.<name>``."""

    async def read(request: Request) -> Any:  # async: a plain def would cost a trip through the thread pool
        return getattr(request.app.state, name)

    return read


RuntimeDep = Annotated[Runtime, Depends(_state("runtime"))]
JobsDep = Annotated[Jobs, Depends(_state("jobs"))]
MetricsDep = Annotated[Metrics, Depends(_state("metrics"))]
LimitParameter = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
CursorParameter = Annotated[str | None, Query(max_length=2_000, description="`cursor` of the page before.")]
FieldsParameter = Annotated[
    str | None,
    Query(
        max_length=10_000,
        description="Only these of each payload, separated by commas: class, scores.TAG ...; empty: none.",
    ),
]
ReadinessDep = Annotated[Readiness, Depends(_state("readiness"))]


def field_names(text: str | None) -> list[str] | None:
    """Return the names in a list with commas.

    >>> field_names("class, tags"), field_names(""), field_names(None)
    (['class', 'tags'], [], None)
    """
    return None if text is None else [name for part in text.split(",") if (name := part.strip())]


def no_other_parameters(*own: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency: ``BadRequest`` for a query parameter that is not one of the route's own."""

    async def check(request: Request) -> None:
        other = next((name for name in request.query_params if name not in own), None)
        if other is not None:
            takes = f"it takes {', '.join(own)}" if own else "it takes none"
            raise BadRequest(f"{other[:80]!r} is not a parameter of this path: {takes}.", field=other[:80])

    return check


def conditions_except(*own: str) -> Callable[[Request], Awaitable[Conditions]]:
    """Return a dependency: conditions from the query string, leaving out the route's own parameters.
    ``BadRequest`` for unknown ones."""

    async def read(request: Request) -> Conditions:
        return conditions_from_pairs(
            pair for pair in request.query_params.multi_items() if pair[0] not in own
        )

    return read
