"""``vitrine serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.context import read_settings


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to listen on; before VITRINE_HOST. [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Port; 0 chooses a free one; before VITRINE_PORT. [default: 8000]",
        ),
    ] = None,
) -> None:
    """Serve the API until Ctrl-C."""
    from vitrine.api.serve import serve as serve_api

    serve_api(read_settings(ctx, {"host": host, "port": port}))
