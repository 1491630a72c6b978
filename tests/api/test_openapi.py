from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient
from openapi_spec_validator import validate
from pydantic import TypeAdapter

from vitrine.api.schemas import common as schemas
from vitrine.api.schemas.findings import taggers as tagger_schemas
from vitrine.api.schemas.search import SearchBody

ROOT = Path(__file__).parents[2]
OPERATIONS = Path(__file__).with_name("operations.txt")


def routes(client: TestClient) -> set[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return {(method.upper(), path) for path, operations in paths.items() for method in operations}


def test_the_document_holds_together(client: TestClient) -> None:
    tree = client.get("/openapi.json").json()
    assert tree["openapi"].startswith("3.1")
    known = set(tree["components"]["schemas"])
    used = set(
        re.findall(r'"#/components/schemas/(\w+)"', client.get("/openapi.json").text.replace(": ", ":"))
    )
    assert used <= known and {"SearchBody", "Conditions", "Problem", "NumberRange", "ImageChanges"} <= used
    assert "HTTPValidationError" not in known
    for path in tree["paths"].values():
        for operation in path.values():
            assert operation["description"] or operation["summary"]
            assert "default" in operation["responses"] and "422" not in operation["responses"]


def test_operation_ids_are_unique_and_stay(client: TestClient) -> None:
    """Programs that are made from the document call their functions by these ids: one that is in the list is
    not renamed. A new operation gets its line there, in order of path."""
    paths = client.get("/openapi.json").json()["paths"]
    ids = [
        f"{operation['operationId']} {method.upper()} {path}"
        for path, operations in sorted(paths.items())
        for method, operation in sorted(operations.items())
    ]
    assert ids == OPERATIONS.read_text().splitlines()
    names = [line.split()[0] for line in ids]
    assert len(names) == len(set(names)) and all(re.fullmatch(r"[a-z][a-z_]{2,34}", name) for name in names)


def test_the_document_is_valid_openapi(client: TestClient) -> None:
    validate(client.get("/openapi.json").json())


def test_the_page_documents_every_route_and_no_other(client: TestClient) -> None:
    page = (ROOT / "docs/http-api.md").read_text()
    documented = set(re.findall(r"^#+ `(GET|POST|PUT|PATCH|DELETE) (/\S+)`", page, re.MULTILINE))
    assert documented == routes(client)


def test_examples_are_valid() -> None:
    for model in [*vars(schemas).values(), *vars(tagger_schemas).values()]:
        extra = (
            getattr(model, "model_config", {}).get("json_schema_extra") if isinstance(model, type) else None
        )
        for example in (extra or {}).get("examples", ()):
            TypeAdapter(model).validate_python(example)
    assert len(SearchBody.model_config["json_schema_extra"]["examples"]) >= 4  # type: ignore[index,call-overload,arg-type]


def test_the_page_documents_every_error_code() -> None:
    from vitrine.api.errors import STATUS
    from vitrine.services.errors import REFUSALS

    page = (ROOT / "docs/http-api.md").read_text()
    for code, status in STATUS.items():
        assert re.search(rf"^\| `{code}` \| {status} \|", page, re.MULTILINE), code
    for reason in REFUSALS:
        assert f"`{reason}`" in page, reason


def test_importing_the_app_loads_neither_models_nor_training() -> None:
    heavy = ("torch", "transformers", "vitrine.training", "vitrine.cli")
    code = (
        f"import sys, vitrine.api.app, vitrine.api.serve; print(*[n for n in {heavy!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
