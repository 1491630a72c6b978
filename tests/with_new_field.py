"""The recipe for a new payload field, done: one line more in the table of fields, and it works everywhere.

Run as a program by test_new_field.py, since the modules that read the table do so when they are imported.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import sqlite3
import sys
from pathlib import Path

LINE = '    Field("photographer", "keyword", "seen", "people", "first", help="who took the picture"),\n'


def add_to_table(line: str) -> None:
    """Load the table of fields with this line after that of the caption."""
    spec = importlib.util.find_spec("vitrine.services.category.fields")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    after = source.index('    Field("tags"')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(source[:after] + line + source[after:], spec.origin, "exec"), vars(module))


def check_command_line(folder: Path) -> None:
    from PIL import Image

    from tests.cli.conftest import runner

    run = runner(folder / "data")

    def found(name: str) -> list[str]:
        hits = run("images", "list", "-c", "shop", "--where", f"photographer={name}", "--json").json["hits"]
        return [hit["payload"]["filename"] for hit in hits]

    for number in range(3):
        Image.new("RGB", (32, 32), (80 * number, 30, 200)).save(folder / f"{number}.png")
    manifest = folder / "manifest.csv"
    manifest.write_text("path,Photographer\n0.png,Ada\n1.png,\n2.png,Ada\n")
    added = run("index", "add", manifest, "-c", "shop", "--create", "--json")
    assert added.json["added"] == 3, added.err
    assert sorted(found("Ada")) == ["0.png", "2.png"]

    table = folder / "table.csv"
    table.write_text("filename,photographer\n0.png,Bea\n1.png,Bea\n")
    run("images", "annotate", "-c", "shop", "--table", table, "--json")
    assert found("Bea") == ["1.png"]  # a gap is filled, what is there stays
    hits = run("images", "list", "-c", "shop", "--where", "photographer=Bea", "--json").json["hits"]
    run("images", "tag", hits[0]["id"], "-c", "shop", "--field", "photographer=Cy")
    assert found("Cy") == ["1.png"] and found("Bea") == []

    assert run("export", "table", "-c", "shop", "--to", folder / "out.csv").code == 0
    rows = csv.DictReader((folder / "out.csv").open())
    assert {row["filename"]: row["photographer"] for row in rows}["1.png"] == "Cy"
    assert run("export", "table", "-c", "shop", "--to", folder / "out.sqlite").code == 0
    with sqlite3.connect(folder / "out.sqlite") as database:
        assert database.execute("SELECT photographer FROM images WHERE filename = '2.png'").fetchone() == (
            "Ada",
        )


def check_http(folder: Path) -> None:
    from tests.api.helpers import client_on, picture, runtime_in, settings_in, upload
    from vitrine.indexer.enrich.maps.values import value_reader

    with runtime_in(settings_in(folder)) as runtime, client_on(runtime) as client:
        client.post("/v1/categories", json={"name": "shop"})
        added = upload(client, "shop", ("a.png", picture()), photographer="Ada")
        images = "/v1/categories/shop/images"
        assert added.status_code == 201, added.text
        assert len(client.get(images, params={"photographer": "Ada"}).json()["hits"]) == 1
        body = {"filter": {"photographer": ["Bea"]}}
        assert client.post("/v1/categories/shop/search", json=body).json()["hits"] == []
        id = added.json()["items"][0]["id"]
        changed = client.patch(f"{images}/{id}", json={"photographer": "Bea"}).json()
        assert changed["payload"]["photographer"] == "Bea"
        assert len(client.post("/v1/categories/shop/search", json=body).json()["hits"]) == 1
        facets = client.get("/v1/categories/shop/facets/photographer").json()
        assert facets["values"] == [{"value": "Bea", "count": 1}]
        reader = value_reader(runtime, "shop", "photographer")
        assert reader.read({"photographer": "Bea"}) == "Bea"
        removed = client.patch(f"{images}/{id}", json={"photographer": None}).json()
        assert "photographer" not in removed["payload"]
        document = client.get("/openapi.json").json()
        schemas = document["components"]["schemas"]
        assert {"photographer"} <= schemas["Conditions"]["properties"].keys()
        assert schemas["ImageChanges"]["properties"]["photographer"]["description"] == "who took the picture"
        assert "`photographer`" in json.dumps(document["paths"][images.replace("shop", "{category}")]["get"])


def check_merging() -> None:
    from vitrine.indexer.enrich.duplicates.changes import said_of
    from vitrine.indexer.job.conflicts import conflicts

    changes = said_of({"class": "mug"}, [{}, {"photographer": "Ada"}, {"photographer": "Bea"}])
    assert changes is not None and changes.model_dump(exclude_unset=True) == {"photographer": "Ada"}
    stored = {"filename": "a.png", "photographer": "Bea"}
    said = {"tags": [], "photographer": "Ada"}
    assert [str(one) for one in conflicts("a.png", said, stored)] == ["photographer 'Ada', kept 'Bea'"]


if __name__ == "__main__":
    add_to_table(LINE)
    check_merging()
    check_http(Path(sys.argv[1]) / "http")
    check_command_line(Path(sys.argv[1]))
