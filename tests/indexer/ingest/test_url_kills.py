"""A process that downloads is killed; the next run asks for nothing again that was acknowledged."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.indexer.pictures import CATEGORY, picture
from tests.program import start_python
from tests.raw_http import answer, raw_server

IMAGES, KILLED_AFTER = 60, 20
CHILD = """
import sys
from pathlib import Path
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import NotFound
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

if __name__ == "__main__":
    settings = Settings(data=Path(sys.argv[1]), min_free_mb=0, url_networks=("127.0.0.1",),
                        url_ports=(sys.argv[4],), url_parallel=4, _env_file=None)
    with open_runtime(settings) as runtime:
        spec = runtime.encoders.register(ColourEncoder()).spec
        try:
            runtime.catalog.get(sys.argv[3])
        except NotFound:
            runtime.catalog.create(sys.argv[3], [spec])
        source = open_source(sys.argv[2], downloads=runtime.downloads)
        report = index_images(source, runtime, sys.argv[3], batch_size=4,
                              on_outcome=lambda one: print(one.outcome, one.filename, flush=True))
    sys.exit(report.exit_code)
"""


def test_nothing_that_was_acknowledged_is_downloaded_again(tmp_path: Path) -> None:
    script, file, data = tmp_path / "child.py", tmp_path / "list.txt", tmp_path / "data"
    script.write_text(CHILD)

    def speak(path: str, connection: socket.socket) -> None:
        connection.sendall(answer(picture(int(path.strip("/")))))

    with raw_server(speak) as server:
        file.write_text("\n".join(server.url(f"/{n}") for n in range(IMAGES)))
        command = (script, data, file, CATEGORY, server.port)
        done: list[str] = []
        for count in (KILLED_AFTER, IMAGES):
            acknowledged, asked = set(done), len(server.paths)
            child = start_python(*command)
            assert child.stdout is not None
            for line in child.stdout:
                outcome, _, name = line.strip().partition(" ")
                assert outcome in ("added", "known")
                done += [name] if outcome == "added" else []
                if count < IMAGES and len(done) >= count:
                    child.send_signal(signal.SIGKILL)
            child.wait()
            names = {f"127.0.0.1{path}" for path in server.paths[asked:]}
            assert not names & acknowledged
        assert child.returncode == 0
        assert len(set(done)) == IMAGES
