from __future__ import annotations

import socket
from pathlib import Path

import pytest

import vitrine
from tests.api.helpers import picture
from tests.raw_http import answer, raw_server


def test_pictures_are_added_by_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def speak(path: str, connection: socket.socket) -> None:
        connection.sendall(answer(picture((int(path[1:]), 9, 9))))

    with raw_server(speak) as server:
        monkeypatch.setenv("VITRINE_URL_NETWORKS", "127.0.0.1")
        monkeypatch.setenv("VITRINE_URL_PORTS", str(server.port))
        file = tmp_path / "list.txt"
        file.write_text("\n".join(server.url(f"/{n}") for n in (1, 2)))
        with vitrine.open(tmp_path / "data", encoder="colour", offline=True, progress=False) as library:
            shop = library.create("shop")
            assert shop.add(server.url("/1")).added == 1
            assert (report := shop.add(file)).added == 1 and report.known == 1
            named = vitrine.NewImage(server.url("/3"), filename="three", tags=["red"])
            assert shop.add([named, server.url("/4"), "http://10.0.0.1/"]).reasons == {"url_not_allowed": 1}
            assert {hit.filename for hit in shop} == {f"127.0.0.1/{n}" for n in (1, 2, 4)} | {"three"}
            assert [hit.filename for hit in shop.images(where={"url": server.url("/3")})] == ["three"]
        assert sorted(server.paths) == ["/1", "/2", "/3", "/4"]
