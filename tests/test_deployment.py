"""The compose file, the image and .env.example: parsed, never started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from vitrine.services.settings import VARIABLES, Settings
from vitrine.services.vector_store.server.check import compatible

ROOT = Path(__file__).resolve().parents[1]
SECRETS = {"QDRANT_API_KEY", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "VITRINE_API_KEYS"}
IMAGE_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    return parsed


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    """Its instructions, continued lines joined, without comments."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def environment(compose: dict[str, Any], service: str) -> dict[str, str]:
    found: dict[str, str] = compose["services"][service]["environment"]
    return found


def aliases() -> set[str]:
    return set(VARIABLES.values())


# .env.example
# ------------------------------------------------------------------------------------------------------------


def test_every_setting_is_explained_and_nothing_else() -> None:
    assert set(example()) == aliases()


def test_the_example_holds_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in aliases():
        monkeypatch.delenv(alias, raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings(_env_file=ROOT / ".env.example") == Settings()


def test_every_variable_has_a_comment_above_its_group() -> None:
    blocks = re.split(r"\n(?=#)", (ROOT / ".env.example").read_text())
    bare = [block for block in blocks if "=" in block and not block.startswith("#")]
    assert not bare


def test_the_example_holds_no_secret() -> None:
    assert {name for name in SECRETS if example()[name]} == set()


# docker-compose.yaml
# -----------------------------------------------------------------------------------------------------


def test_the_services(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"api", "qdrant", "minio", "minio-volume"}


def test_root_gives_the_volume_away_and_can_do_nothing_else(compose: dict[str, Any]) -> None:
    settings = compose["services"]["minio-volume"]
    assert settings["entrypoint"] == ["chown", compose["services"]["minio"]["user"], "/data"]
    assert (settings["cap_drop"], settings["cap_add"], settings["network_mode"]) == (
        ["ALL"],
        ["CHOWN"],
        "none",
    )
    assert settings["read_only"] is True and settings["restart"] == "no"
    assert settings["image"] == compose["services"]["minio"]["image"]


def test_paths_of_this_machine_are_no_settings(compose: dict[str, Any]) -> None:
    """A copied .env.example gives VITRINE_MODELS a value that means something else inside the container."""
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            assert not aliases() & set(re.findall(r"\$\{([A-Z_]+)", mount)), mount


def test_the_api_is_told_every_setting(compose: dict[str, Any]) -> None:
    told = environment(compose, "api")
    assert set(told) == aliases()
    assert (told["QDRANT_URL"], told["MINIO_ENDPOINT"]) == ("http://qdrant:6333", "minio:9000")


def test_what_the_api_is_told_are_the_settings_defaults(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """A default that stands in two places must be the same in both."""
    chosen_here = {
        "VITRINE_HOST",
        "VITRINE_DATA",
        "VITRINE_MODELS",
        "QDRANT_URL",
        "MINIO_ENDPOINT",
        "MINIO_REGION",
        *SECRETS,
    }
    monkeypatch.chdir(tmp_path)
    for name, value in environment(compose, "api").items():
        monkeypatch.setenv(name, IMAGE_DEFAULT.sub(r"\1", value) if name not in chosen_here else "")
    told = asdict(Settings())
    for alias in aliases():
        monkeypatch.delenv(alias, raising=False)
    assert told == asdict(Settings())


@pytest.mark.parametrize("service", ["api", "qdrant", "minio"])
def test_secrets_are_required_and_never_written_down(compose: dict[str, Any], service: str) -> None:
    for name, value in environment(compose, service).items():
        if re.search(r"KEYS?$|PASSWORD|SECRET|ROOT_USER", name):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value), f"{name} must be required by ${{VAR:?message}}"


@pytest.mark.parametrize("service", ["qdrant", "minio"])
def test_images_that_are_pulled_are_pinned(compose: dict[str, Any], service: str) -> None:
    image = IMAGE_DEFAULT.sub(r"\1", compose["services"][service]["image"])
    _, _, tag = image.partition(":")
    assert tag and "latest" not in tag and re.search(r"\d", tag), image


@pytest.mark.parametrize("service", ["api", "qdrant", "minio"])
def test_nobody_is_root_and_nobody_may_become_it(compose: dict[str, Any], service: str) -> None:
    settings = compose["services"][service]
    user, _, group = settings["user"].partition(":")
    assert int(user) > 0 and int(group) > 0
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in settings


@pytest.mark.parametrize("service", ["api", "qdrant"])
def test_root_file_systems_are_read_only(compose: dict[str, Any], service: str) -> None:
    assert compose["services"][service]["read_only"] is True


@pytest.mark.parametrize("service", ["qdrant", "minio"])
def test_the_stores_are_not_published(compose: dict[str, Any], service: str) -> None:
    assert "ports" not in compose["services"][service]
    assert "network_mode" not in compose["services"][service]


def test_the_api_is_published_on_this_machine_only(compose: dict[str, Any]) -> None:
    (port,) = compose["services"]["api"]["ports"]
    assert IMAGE_DEFAULT.sub(r"\1", port) == "127.0.0.1:8000:8000"


def test_everyone_is_asked_for_health_and_waited_for(compose: dict[str, Any], dockerfile: list[str]) -> None:
    for service in ("qdrant", "minio"):
        assert compose["services"][service]["healthcheck"]["test"][0] == "CMD"
        assert compose["services"]["api"]["depends_on"][service] == {"condition": "service_healthy"}
    (check,) = [line for line in dockerfile if line.startswith("HEALTHCHECK")]
    assert "/readyz" in check


def test_data_lies_on_named_volumes(compose: dict[str, Any]) -> None:
    mounts = {"api": "/data", "qdrant": "/qdrant/storage", "minio": "/data"}
    for service, target in mounts.items():
        sources = [
            mount.rpartition(":")[0]
            for mount in compose["services"][service]["volumes"]
            if mount.endswith(":" + target)
        ]
        assert len(sources) == 1 and sources[0] in compose["volumes"], service


def test_qdrant_is_not_as_open_as_it_comes(compose: dict[str, Any]) -> None:
    told = environment(compose, "qdrant")
    assert told["QDRANT__SERVICE__API_KEY"].startswith("${QDRANT_API_KEY:?")
    assert told["QDRANT__SERVICE__ENABLE_CORS"] == "false"
    assert told["QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY"] == "false"
    strict = "QDRANT__STORAGE__COLLECTION__STRICT_MODE__"
    assert told[strict + "ENABLED"] == "true"
    assert told[strict + "UNINDEXED_FILTERING_RETRIEVE"] == "false"
    assert told[strict + "UNINDEXED_FILTERING_UPDATE"] == "false"
    assert "unprivileged" in compose["services"]["qdrant"]["image"]


def test_the_object_store_takes_the_keys_that_the_api_uses(compose: dict[str, Any]) -> None:
    api, minio = environment(compose, "api"), environment(compose, "minio")
    assert minio["MINIO_ROOT_USER"] == api["MINIO_ACCESS_KEY"]
    assert minio["MINIO_ROOT_PASSWORD"] == api["MINIO_SECRET_KEY"]
    assert compose["services"]["minio"]["image"] == "${MINIO_IMAGE:-pgsty/silo:RELEASE.2026-09-03T13-18-01Z}"


# Dockerfile
# ------------------------------------------------------------------------------------------------------------


def test_the_image_is_pinned_and_not_root(dockerfile: list[str], compose: dict[str, Any]) -> None:
    images = dict(re.findall(r"^ARG (\w+_IMAGE)=(.+)$", "\n".join(dockerfile), re.MULTILINE))
    arguments = compose["services"]["api"]["build"]["args"]
    assert {name: IMAGE_DEFAULT.sub(r"\1", image) for name, image in arguments.items()} == images
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images["PYTHON_IMAGE"])
    assert re.fullmatch(r"node:\d\d\.\d+\.\d+-\w+-slim", images["NODE_IMAGE"])
    stages = [line.split()[1] for line in dockerfile if line.startswith("FROM")]
    assert stages == ["${NODE_IMAGE}", "${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    users = [line for line in dockerfile if line.startswith("USER")]
    assert users == [f"USER {compose['services']['api']['user']}"]


def test_the_image_serves(dockerfile: list[str], compose: dict[str, Any]) -> None:
    assert dockerfile[-1] == 'CMD ["vitrine", "serve"]'
    assert compose["services"]["api"]["command"] == ["vitrine", "serve"]
    assert not any("VITRINE_API_KEYS" in line for line in dockerfile)


def test_what_is_copied_is_there_and_is_let_through(dockerfile: list[str]) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for line in dockerfile
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source.partition('/')[0]}" in ignored, f"{source} does not reach the builder"
    assert "*" in ignored and "!.env" not in ignored


def test_no_host_of_a_package_index_is_named_but_pytorchs_own() -> None:
    locks = [path.name for path in ROOT.glob("*.lock")]
    for name in ("Dockerfile", "docker-compose.yaml", ".env.example", "Makefile", ".ci/lock.py", *locks):
        for host in re.findall(r"https?://([\w.-]+)", (ROOT / name).read_text()):
            allowed = {"127.0.0.1", "qdrant", "host", "minio"}
            allowed |= {"download.pytorch.org"} if name == "Makefile" else set()
            assert host in allowed, f"{name} names {host}"


def test_the_server_and_the_client_of_qdrant_fit(compose: dict[str, Any]) -> None:
    image = IMAGE_DEFAULT.sub(r"\1", compose["services"]["qdrant"]["image"])
    server = re.fullmatch(r"qdrant/qdrant:v(\d+\.\d+\.\d+)-unprivileged", image)
    (asked,) = [one for one in project()["dependencies"] if one.startswith("qdrant-client")]
    locked = lock()["qdrant-client"]
    lowest, highest = re.findall(r"\d+\.\d+", asked)
    assert server is not None and compatible(locked, server[1])
    assert locked.startswith(lowest + ".") and int(highest.split(".")[1]) == int(lowest.split(".")[1]) + 1, (
        "one minor version"
    )


def test_the_version_stands_in_one_place(compose: dict[str, Any]) -> None:
    """The image is built here, under a name without a version; a release names it by VITRINE_IMAGE."""
    assert compose["services"]["api"]["image"] == "${VITRINE_IMAGE:-vitrine:local}"
    assert compose["services"]["api"]["build"]["context"] == "."
    for name in ("Dockerfile", "docker-compose.yaml", ".env.example", "Makefile"):
        assert project()["version"] not in (ROOT / name).read_text(), name


def test_the_workflow_runs_what_everybody_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make install", ".ci/run"]
    (python,) = [step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")]
    assert project()["requires-python"] == f">={python}"


def test_the_image_holds_the_first_install_and_nothing_that_builds_it(dockerfile: list[str]) -> None:
    build, image = "\n".join(dockerfile).split("FROM ${PYTHON_IMAGE}\n")
    page = "COPY --from=page /src/api/built_page api/built_page"
    assert build.index("COPY api api") < build.index(page) < build.index("pip install --no-deps")
    assert "api/built_page" in (ROOT / ".dockerignore").read_text()  # not the one that lies here
    assert "pip install --only-binary :all: -r requirements.lock" in build
    assert "requirements-all" not in build and "apt-get" not in build
    assert "pip uninstall --quiet --yes setuptools" in build and "pip uninstall --quiet --yes pip" in build
    assert "pip" not in image and "COPY --from=build /opt/vitrine /opt/vitrine" in image


# Locks
# ------------------------------------------------------------------------------------------------------------


def lock(part: str = "") -> dict[str, str]:
    """Version by package, as PyPI compares names."""
    lines = (ROOT / f"requirements{part}.lock").read_text().splitlines()
    pairs = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if not line.startswith("#")]
    assert pairs and None not in pairs
    return {normal(pair[1]): pair[2] for pair in pairs if pair is not None}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(requirements: list[str]) -> set[str]:
    names = {normal(re.split(r"[^\w.-]", one)[0]) for one in requirements}
    return names - {"vitrine"}


def test_the_first_install_needs_no_library_of_an_extra() -> None:
    """These are what made it ten times as large."""
    large = {"torch", "transformers", "scipy", "pyarrow", "scikit-learn", "scikit-image", "matplotlib"}
    large |= {"opencv-python-headless", "pywavelets", "pandas", "numba", "triton", "nncf"}
    assert not large & set(lock())


def test_what_is_asked_for_is_locked() -> None:
    assert asked(project()["dependencies"]) <= set(lock())
    for packages in project()["optional-dependencies"].values():
        assert asked(packages) <= set(lock("-all"))


def test_the_locks_agree() -> None:
    everything = lock("-all")
    assert lock().items() <= everything.items()
    assert not set(lock("-cuda")) & set(everything)


def test_the_libraries_of_cuda_are_locked() -> None:
    """Pinned as they come with torch from the ordinary index, where no folder has another build."""
    brought = lock("-cuda")
    assert {"triton", "nvidia-cublas", "nvidia-cudnn-cu13"} <= set(brought)
    assert lock("-all")["torch"] == "2.13.0"


# Makefile
# ------------------------------------------------------------------------------------------------------------


def dry_run(target: str, *settings: str, **environment: str) -> str:
    """What make would do, as if nothing were installed."""
    command = [
        "make",
        "--dry-run",
        "--always-make",
        target,
        "VENV=/nowhere",
        "LIGHT=/nowhere-light",
        *settings,
    ]
    kept = {name: value for name, value in os.environ.items() if name not in ("TORCH_INDEX", "MAKEFLAGS")}
    done = subprocess.run(
        command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestMake:
    @pytest.mark.parametrize("target", ["demo", "serve"])
    def test_what_a_newcomer_runs_takes_the_first_install_alone(self, target: str) -> None:
        told = dry_run(target)
        assert "-r requirements.lock" in told and f"vitrine {target}" in told
        assert "requirements-all.lock" not in told and "torch" not in told

    def test_the_tests_take_everything(self) -> None:
        assert "-r requirements-all.lock -c requirements-cuda.lock" in dry_run("test")

    def test_the_light_tests_take_the_first_install_and_the_tools(self) -> None:
        told = dry_run("test-light")
        assert "-r requirements.lock" in told and "-e '.[test]'" in told
        assert "-r requirements-all.lock" not in told

    def test_an_index_of_torch_can_be_named_or_left_out(self) -> None:
        assert "--index-url http://127.0.0.1:9/cpu torch==2.13.0" in dry_run(
            "install", "TORCH_INDEX=http://127.0.0.1:9/cpu"
        )
        assert 'if [ -z "" ]; then' in dry_run("install", "TORCH_INDEX=")
