"""Options of commands and of request bodies from one dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import typer
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from vitrine.cli.with_options import with_options
from vitrine.services.errors import BadRequest
from vitrine.services.options import Options, option


@dataclass(frozen=True)
class Cake(Options):
    """How a cake is made."""

    layers: int = option(2, "Layers of it.", ge=1, le=9)
    cream: Literal["butter", "milk"] = option("butter", "What cream.")
    heights: tuple[int, ...] = option((3, 4), "Height of each layer.", min_length=1)
    fruits: tuple[str, ...] = option((), "A fruit; again: more.")
    sugar: float | None = option(None, "Grams.", ge=0)
    bake: bool = option(True, "In an oven.")
    icing: bool = option(False, "Sugar on it.")
    inner: int = 7


def run(*arguments: str) -> tuple[int, str, list[tuple[str, Cake]]]:
    app, made = typer.Typer(), list[tuple[str, Cake]]()

    @app.command()
    @with_options
    def make(name: str, cake: Annotated[Cake, "Of the cake"]) -> None:
        made.append((name, cake))

    answer = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return answer.exit_code, " ".join(answer.output.split()), made


def test_a_command_gets_the_dataclass_with_its_defaults() -> None:
    assert run("birthday") == (0, "", [("birthday", Cake())])


def test_every_kind_of_option_is_read() -> None:
    given = ["--layers", "3", "--cream", "milk", "--heights", "1, 2,3", "--fruits", "a,b", "--fruits", "c"]
    _, _, made = run("x", *given, "--sugar", "1.5", "--no-bake", "--icing")
    assert made == [("x", Cake(3, "milk", (1, 2, 3), ("a,b", "c"), 1.5, False, True))]


def test_the_help_tells_what_the_dataclass_says() -> None:
    code, text, _ = run("--help")
    assert code == 0
    for part in ("Of the cake", "--layers", "1<=x<=9", "Layers of it.", "butter|milk", "--no-bake", "3, 4"):
        assert part in text
    assert "--no-icing" not in text and "--inner" not in text


def test_a_number_out_of_range_is_wrong_usage_and_a_wrong_word_is_refused() -> None:
    assert run("x", "--layers", "10")[0] == 2
    for given in (["--cream", "soy"], ["--heights", "1,high"], ["--heights", ""]):
        with pytest.raises(BadRequest, match=f"The option {given[0][2:]}"):
            run("x", *given)


def test_python_gets_the_same_checks() -> None:
    assert Cake(heights=["5"]) == Cake(heights=(5,))  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="The option layers must be at most 9") as caught:
        Cake(10)
    assert caught.value.details == {"option": "layers"}


def test_a_request_body_has_the_same_ranges_and_descriptions() -> None:
    app = FastAPI()

    @app.post("/cakes")
    def make(cake: Cake) -> str:
        return repr(cake)

    client = TestClient(app)
    assert client.post("/cakes", json={"heights": [1]}).json() == repr(Cake(heights=(1,)))
    assert client.post("/cakes", json={"layers": 0}).status_code == 422
    assert client.post("/cakes", json={"lairs": 1}).status_code == 422
    schema = app.openapi()["components"]["schemas"]["Cake"]
    assert schema["description"] == "How a cake is made."
    layers = schema["properties"]["layers"]
    assert (layers["minimum"], layers["maximum"], layers["default"]) == (1, 9, 2)
    assert layers["description"] == "Layers of it."
