"""The bodies of the routes of training reports."""

from __future__ import annotations

from pydantic import BaseModel

from vitrine.api.schemas.common import example


class ReportOut(BaseModel):
    """A file that the training of an encoder left. ``url`` is where it is."""

    encoder: str
    file: str
    bytes: int
    media_type: str
    modified_at: str
    url: str


class ReportsOut(BaseModel):
    """The files of all trained encoders of a category."""

    model_config = example(
        {
            "reports": [
                {
                    "encoder": "look-1",
                    "file": "report.md",
                    "bytes": 5120,
                    "media_type": "text/markdown",
                    "modified_at": "2026-11-20T10:00:00.000+00:00",
                    "url": "/v1/categories/pets/reports/look-1/report.md",
                }
            ]
        }
    )

    reports: list[ReportOut]
