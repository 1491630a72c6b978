"""Object stores on the S3 endpoint of a run: the one that its options name, or one in this process."""

from __future__ import annotations

import pytest

from vitrine.services.object_store.minio_store import MinioObjectStore


def s3_store(
    request: pytest.FixtureRequest, endpoint: str, bucket: str, prefix: str = ""
) -> MinioObjectStore:
    config = request.config
    return MinioObjectStore(
        endpoint,
        access_key=config.getoption("--minio-access-key"),
        secret_key=config.getoption("--minio-secret-key"),
        bucket=bucket,
        prefix=prefix,
        secure=str(config.getoption("--minio-url")).startswith("https://"),
    )
