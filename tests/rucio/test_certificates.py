"""Signing in with a certificate, at a server that asks for one. (Rucio leaves that to its web server.)"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.catalogues.rucio import RucioCatalogue
from broker.model import Level
from federation.sites import Federation
from tests.contracts.catalogue_support import told
from tests.skaha.test_certificates import Authority


class _Door(http.server.BaseHTTPRequestHandler):
    """Takes everybody's certificate for the account's, and has no data."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/auth/x509":
            shown = self.connection.getpeercert()  # type: ignore[attr-defined]
            ((_, name),) = shown["subject"][0]
            self.send_response(200)
            self.send_header("X-Rucio-Auth-Token", f"{self.headers['X-Rucio-Account']}-{name}")
        else:
            self.send_response(404)
        body = json.dumps({"ExceptionMessage": f"asked as {self.headers['X-Rucio-VO']}"}).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def door(authority: Authority) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("server"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Door) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def refusal(url: str, certificate: Path, ca_file: Path) -> str:
    options = {
        "url": url,
        "account": "root",
        "auth": "x509",
        "vo": "def",
        "certificate_file": str(certificate),
        "ca_file": str(ca_file),
    }
    asked = RucioCatalogue(Federation("test", {}, {"rucio": options}), True)
    found = asked.resolve("u-1", "cube", {"rucio": {"scope": "sky", "object": "a"}}, "/data/0")
    [(_, text)] = told(found, Level.ERROR)
    assert "\n" not in text
    return text


def test_a_certificate_signs_in(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    with door(authority) as url:
        # so far one only comes with a token
        assert "is not in Rucio" in refusal(url, authority.certificate("us"), authority.file)


def test_a_certificate_that_nobody_knows_is_told(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    with door(authority) as url:
        assert "can't be asked" in refusal(url, stranger.certificate("them"), authority.file)
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(url, authority.certificate("us"), stranger.file)


@pytest.mark.parametrize("text", [None, "no certificate at all"])
def test_a_file_without_a_certificate_is_told(tmp_path: Path, text: str | None) -> None:
    authority, file = Authority(tmp_path, "authority"), tmp_path / "empty.pem"
    if text is not None:
        file.write_text(text)
    assert f"the certificate in {file} can't be used" in refusal("https://127.0.0.1:9", file, authority.file)
