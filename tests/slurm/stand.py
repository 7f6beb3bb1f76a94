"""A slurmrestd that answers as a test wants: its faults, and versions that no package here speaks."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from broker.platforms.slurm_jobs import SlurmJob
from broker.platforms.slurm_rest import Rest
from reservations.sources.slurm_rest import RestOptions, SlurmRest


def token(lives: timedelta) -> str:
    claims = {"exp": int((datetime.now(UTC) + lives).timestamp()), "sun": "fairlead"}
    parts = ({"alg": "HS256"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts]
    return ".".join([*encoded, "signature"])


@dataclass
class Stand:
    """Answers by method and path; what was sent is kept."""

    url: str
    token_file: Path
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    def versions(self, *numbers: int) -> None:
        self.answers["GET /openapi/v3"] = 200, {"paths": {f"/slurm/v0.0.{each}/jobs": {} for each in numbers}}

    def client(self, seconds: float = 60.0) -> SlurmRest:
        return SlurmRest("perth", RestOptions(self.url, "fairlead", self.token_file), seconds)

    def jobs(self) -> Mapping[str, SlurmJob]:
        return asyncio.run(Rest(self.client(), {}).jobs())


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.asked.append((f"{self.command} {self.path}", dict(self.headers), body))
            status, content = found.answers.get(
                f"{self.command} {self.path}", (404, b"Unable find requested URL.")
            )
            if callable(content):
                content(self)
                return
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    (tmp_path / "token").write_text(f"SLURM_JWT={token(timedelta(hours=1))}\n")
    found = Stand(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "token")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refused(description: str, error: str) -> Mapping[str, Any]:
    return {"errors": [{"description": description, "error_number": 1, "error": error, "source": "x"}]}
