"""The contract suites once more, on real servers in containers. Needs a Docker engine: ``pytest -m
containers``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_deployment import IMAGE_DEFAULT, ROOT

pytestmark = pytest.mark.containers
KEY = "only-for-this-container"


def image_of(service: str) -> str:
    """The image that the compose file runs."""
    import yaml

    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    return IMAGE_DEFAULT.sub(r"\1", compose["services"][service]["image"])


@pytest.fixture(scope="module", autouse=True)
def _docker_engine() -> None:
    import docker
    from docker.errors import DockerException

    try:
        docker.from_env(timeout=5).ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")


def run_suite(suite: str, *options: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "not containers",
        str(Path("tests/services") / suite),
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_vector_store_contract_on_a_qdrant_server(protocol: str, shards: int) -> None:
    from testcontainers.community.qdrant import QdrantContainer

    with QdrantContainer(image=image_of("qdrant"), api_key=KEY) as container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(6333)}"
        # a container's ports are mapped to others
        by = (
            ("--qdrant-grpc-port", str(container.get_exposed_port(6334)))
            if protocol == "grpc"
            else ("--qdrant-rest",)
        )
        options = ("--qdrant-url", url, "--qdrant-api-key", KEY, *by, "--qdrant-shards", str(shards))
        run_suite("vector_store", "-k", "server and (test_contract or test_diversity)", *options)


def test_the_object_store_contract_on_the_compose_image() -> None:
    from testcontainers.community.minio import MinioContainer

    container = MinioContainer(image=image_of("minio"), access_key="contract", secret_key=KEY)
    container.with_env("MINIO_ROOT_USER", "contract").with_env("MINIO_ROOT_PASSWORD", KEY)
    with container:
        keys = ("--minio-access-key", "contract", "--minio-secret-key", KEY)
        run_suite("object_store/test_contract.py", "--minio-url", container.get_config()["endpoint"], *keys)
