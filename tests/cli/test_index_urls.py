"""``vitrine index urls``: lists of URLs are cleaned before anything is downloaded."""

from __future__ import annotations

import csv
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.conftest import Answer, Run, runner
from tests.raw_http import RawServer, answer, raw_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RawServer]:
    Image.new("RGB", (20, 20), (200, 30, 30)).save(tmp_path / "red.png")
    red = (tmp_path / "red.png").read_bytes()
    answers = {
        "/red.png": answer(red),
        "/again.png": answer(red),
        "/page": answer(b"<!doctype html>"),
        "/empty": answer(b""),
        "/huge.png": answer(red, length=10**9),
    }

    def speak(path: str, connection: socket.socket) -> None:
        connection.sendall(answers.get(path, answer(b"", status="404 Not Found")))
        if path == "/huge.png":
            connection.shutdown(socket.SHUT_RDWR)

    with raw_server(speak) as server:
        yield server


def clean(vitrine: Run, server: RawServer, file: Path, *options: object) -> Answer:
    env = {"VITRINE_URL_NETWORKS": "127.0.0.1", "VITRINE_URL_PORTS": f"80,{server.port}"}
    return vitrine("index", "urls", file, "--json", *options, env=env)


def rows(file: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(file.open()))


def test_a_list_is_cleaned_without_asking(vitrine: Run, tmp_path: Path, server: RawServer) -> None:
    file = tmp_path / "list.txt"
    red, gone = server.url("/red.png"), server.url("/gone")
    file.write_text(f"# mine\n{red}\n\n{gone}\n{red}#top\nhttp://10.0.0.1/x\nhttp://me:hush@h.test/\nwords\n")
    report = clean(vitrine, server, file).json
    assert (report["kept"], report["dropped"]) == (2, 4)
    assert report["reasons"] == {"double": 1, "url_not_allowed": 1, "bad_url": 2}
    assert (tmp_path / "list.clean.txt").read_text() == f"{red}\n{gone}\n"
    dropped = rows(tmp_path / "list.dropped.csv")
    assert [(row["line"], row["reason"]) for row in dropped] == [
        ("5", "double"), ("6", "url_not_allowed"), ("7", "bad_url"), ("8", "bad_url"),
    ]  # fmt: skip
    assert dropped[0]["message"] == "Line 2 has it before." and "hush" not in str(dropped)
    assert server.accepted == 0


def test_what_is_dead_or_no_picture_goes_if_it_is_asked(
    vitrine: Run, tmp_path: Path, server: RawServer
) -> None:
    file, to, table = tmp_path / "list.txt", tmp_path / "good.txt", tmp_path / "bad.csv"
    names = ("/red.png", "/gone", "/page", "/empty", "/huge.png", "/again.png")
    file.write_text("\n".join(map(server.url, names)))
    report = clean(vitrine, server, file, "--check", "--to", to, "--dropped", table).json
    assert to.read_text().split() == [server.url("/red.png"), server.url("/again.png")]
    assert report["reasons"] == {
        "url_dead": 1, "unsupported_format": 1, "empty_file": 1, "file_too_large": 1,
    }  # fmt: skip
    assert [row["url"] for row in rows(table)] == [server.url(name) for name in names[1:5]]
    assert sorted(server.paths) == sorted(names)


def test_tables_keep_their_rows(vitrine: Run, tmp_path: Path, server: RawServer) -> None:
    red = server.url("/red.png")
    table = tmp_path / "table.csv"
    table.write_text(f'id;Image URL;words\n1;{red};"a;b"\n2;{red};c\n3;;d\n')
    assert clean(vitrine, server, table).json["reasons"] == {"double": 1, "bad_url": 1}
    assert (tmp_path / "table.clean.csv").read_text() == f'id;Image URL;words\n1;{red};"a;b"\n'
    lines = tmp_path / "rows.jsonl"
    lines.write_text(f'{{"n": 1.50, "link": "{red}"}}\n{{"n": 2}}\nno json\n')
    assert clean(vitrine, server, lines, "--path-column", "link").json["kept"] == 1
    assert (tmp_path / "rows.clean.jsonl").read_text() == f'{{"n": 1.50, "link": "{red}"}}\n'


def test_the_clean_list_is_indexed(vitrine: Run, tmp_path: Path, server: RawServer) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\n".join(map(server.url, ("/red.png", "/gone"))))
    clean(vitrine, server, file, "--check")
    env = {"VITRINE_URL_NETWORKS": "127.0.0.1", "VITRINE_URL_PORTS": str(server.port)}
    # in a data folder of its own: the shared one stays open with the settings of whoever came first
    added = runner(tmp_path / "data")(
        "index", "add", tmp_path / "list.clean.txt", "-c", "shop", "--create", "--json", env=env
    )
    assert (added.code, added.json["added"]) == (0, 1), added.out


def test_mistakes_are_named(vitrine: Run, tmp_path: Path, server: RawServer) -> None:
    file = tmp_path / "list.txt"
    file.write_text("https://example.com/a.png\n")
    same = clean(vitrine, server, file, "--to", file)
    assert same.code == 1 and same.json["error"]["code"] == "bad_request"
    assert file.read_text() == "https://example.com/a.png\n"
    assert clean(vitrine, server, tmp_path / "none.txt").json["error"]["code"] == "bad_source"
    (tmp_path / "a.csv").write_text("id,name\n1,2\n")
    assert "has no column url" in clean(vitrine, server, tmp_path / "a.csv").json["error"]["message"]
    assert not list(tmp_path.glob(".*part"))
