"""Signing in with a certificate, at a server that asks for one. (Rucio leaves that to its web server.)"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.catalogues.rucio import RucioCatalogue
from broker.model import Level
from federation.sites import Federation
from tests.contracts.catalogue_support import told
from tests.loopback import Asked, Handler, Server, running, said_json
from tests.skaha.test_certificates import Authority


class _Door(Handler):
    """Takes everybody's certificate for the account's, and has no data."""

    def respond(self, asked: Asked) -> None:
        status, headers = 404, dict[str, str]()
        if self.path == "/auth/x509":
            ((_, name),) = self.connection.getpeercert()["subject"][0]
            status, headers = 200, {"X-Rucio-Auth-Token": f"{self.headers['X-Rucio-Account']}-{name}"}
        self.say(said_json({"ExceptionMessage": f"asked as {self.headers['X-Rucio-VO']}"}, status, headers))


@contextmanager
def door(authority: Authority) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("server"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    with running(Server(_Door, context)) as server:
        yield server.origin


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
