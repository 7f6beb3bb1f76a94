"""Registries that ask for tokens, send elsewhere, lie, hang, or want to be sent where they must not be."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import ssl
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.images import Access, ImageError, Looked, Trouble, Wanted, client
from broker.images.credentials import Login, find_login
from broker.images.documents import OCI_MANIFEST, read_config, read_manifest
from broker.images.looking import Images
from broker.images.references import parse
from federation.clock import ManualClock
from tests.broker.conftest import NOW
from tests.broker.images.fake import (
    IMAGE,
    SILENT_SECONDS,
    TOKEN,
    Said,
    asking_for_a_token,
    fake_registry,
    serving,
)
from tests.broker.images.real import access_to, auth_file
from tests.cloud.tls import self_signed

USER, PASSWORD = "reader", "pass:word-of-the-test"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def look(access: Access, location: str, seconds: float | None = None, **wanted: str) -> Looked:
    question = Wanted((location,), **wanted), access
    return Images(ManualClock(NOW)).look([question], seconds)[question]


def trouble(looked: Looked) -> tuple[Trouble, str]:
    assert looked.image is None
    [problem] = looked.troubles.values()
    assert "\n" not in str(problem)
    for secret in (PASSWORD, TOKEN, BASIC):
        assert secret not in repr((looked, str(problem), problem.remedy))
    return problem.trouble, str(problem)


# tokens and logins


def test_a_token_is_fetched_where_the_registry_says(tmp_path: Path) -> None:
    hosts: list[str] = []
    answer = asking_for_a_token(lambda: f"http://{hosts[0]}/token", serving())
    with fake_registry(answer) as registry:
        hosts.append(registry.host)
        looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1")
    assert looked.image is not None
    assert looked.image.digest == IMAGE.manifest.digest
    token = "/token?service=the-registry&scope=repository%3Aa%2Ftool%3Apull"
    # one token for all of it
    assert [path for path in registry.paths() if path.startswith("/token")] == [token]
    assert ("/v2/a/tool/blobs/" + IMAGE.config.digest, f"Bearer {TOKEN}") in registry.asked


def test_a_login_goes_to_the_token_service_and_nowhere_else(tmp_path: Path) -> None:
    hosts: list[str] = []
    answer = asking_for_a_token(lambda: f"http://{hosts[0]}/token", serving(), BASIC)
    with fake_registry(answer) as registry:
        hosts.append(registry.host)
        login = auth_file(tmp_path, {registry.host: (USER, PASSWORD)})
        name = f"{registry.host}/a/tool:1"
        assert look(access_to(tmp_path, registry.host, login=login), name).image is not None
        assert {path.split("?")[0] for path, sent in registry.asked if sent == BASIC} == {"/token"}
        kind, text = trouble(look(access_to(tmp_path, registry.host), name))
        assert kind is Trouble.PRIVATE
        assert text.endswith(f"the token service of {registry.host} gives none")
        login = auth_file(tmp_path, {registry.host: (USER, "an-old-one")})
        kind, text = trouble(look(access_to(tmp_path, registry.host, login=login), name))
        assert kind is Trouble.PRIVATE
        assert text.endswith(f"the token service of {registry.host} doesn't take the site's login")


def test_a_token_that_has_expired_is_no_endless_round(tmp_path: Path) -> None:
    hosts: list[str] = []

    def expired(path: str, headers: dict[str, str]) -> Said:
        return Said(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{hosts[0]}/token"'})

    with fake_registry(asking_for_a_token(lambda: f"http://{hosts[0]}/token", expired)) as registry:
        hosts.append(registry.host)
        looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1")
    assert trouble(looked)[0] is Trouble.PRIVATE
    assert len(registry.asked) == 3


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (Said(body=b"not json"), "gave no token (status 200)"),
        (Said(body=b'{"token": 7}'), "gave no token (status 200)"),
        (Said(503), "gave no token (status 503)"),
    ],
)
def test_a_token_service_that_gives_none(tmp_path: Path, token: Said, expected: str) -> None:
    hosts: list[str] = []

    def answer(path: str, headers: dict[str, str]) -> Said:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{hosts[0]}/token"'}
        return token if path.startswith("/token") else Said(401, b"", challenge)

    with fake_registry(answer) as registry:
        hosts.append(registry.host)
        kind, text = trouble(look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1"))
    assert kind is Trouble.UNKNOWN
    assert text.endswith(expected)


@pytest.mark.parametrize(
    "more",
    [
        {"credsStore": "secretservice"},
        {"credHelpers": {"HOST": "x"}},
        {"auths": {"HOST": {"identitytoken": "t"}}},
    ],
)
def test_a_login_that_only_podman_can_use_is_no_refusal(tmp_path: Path, more: dict[str, object]) -> None:
    with fake_registry(lambda path, headers: Said(403)) as registry:
        name, file = f"{registry.host}/a/tool:1", tmp_path / "logins"
        file.write_text(json.dumps(more).replace("HOST", registry.host))
        looked = look(access_to(tmp_path, registry.host, login=file), name)
        assert trouble(looked)[0] is Trouble.UNKNOWN
        file.write_text('{"auths": {"other.example": {"identitytoken": "t"}}}')
        looked = look(access_to(tmp_path, registry.host, login=file), name)
        assert trouble(looked) == (Trouble.PRIVATE, f"{name} is not for this site to read")


def test_the_most_special_login_counts(tmp_path: Path) -> None:
    logins = {
        "r.example": ("all", "a"),
        "r.example/team": ("team", "b"),
        "https://index.docker.io/v1/": ("d", "c"),
    }
    file = auth_file(tmp_path, logins)
    assert find_login(file, parse("r.example/team/tool:1")) == Login("team", "b")
    assert find_login(file, parse("r.example/teams/tool:1")) == Login("all", "a")
    assert find_login(file, parse("busybox")) == Login("d", "c")
    assert find_login(file, parse("other.example/x")) is None
    assert "b" not in repr(Login("team", "b")).replace("b'", "")


# where nobody must be sent


def test_neither_token_service_nor_redirect_leads_inside(tmp_path: Path) -> None:
    with fake_registry(serving(), "127.0.0.2") as inside:
        for answer in (
            asking_for_a_token(lambda: f"http://{inside.host}/token", serving()),
            lambda path, headers: Said(307, b"", {"Location": f"http://{inside.host}{path}"}),
        ):
            with fake_registry(answer) as registry:
                looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1")
            assert trouble(looked) == (
                Trouble.ADDRESS,
                "127.0.0.2 is no public address, and no registry that the site knows",
            )
        assert inside.asked == []


def test_a_redirect_elsewhere_is_followed_without_the_login(tmp_path: Path) -> None:
    with fake_registry(serving(), "127.0.0.2") as store:

        def answer(path: str, headers: dict[str, str]) -> Said | None:
            if "/blobs/" in path:
                return Said(307, b"", {"Location": f"http://{store.host}{path}?signature=x"})
            return serving()(path, headers)

        hosts: list[str] = []
        with fake_registry(asking_for_a_token(lambda: f"http://{hosts[0]}/token", answer)) as registry:
            hosts.append(registry.host)
            looked = look(access_to(tmp_path, registry.host, store.host), f"{registry.host}/a/tool:1")
        assert looked.image is not None
        assert [sent for _, sent in store.asked] == [None]


def test_a_registry_is_not_asked_without_tls_unless_it_is_called_insecure(tmp_path: Path) -> None:
    with fake_registry(serving()) as registry:
        text = f'[[registry]]\nlocation = "{registry.host}"\n'
        looked = look(access_to(tmp_path, text=text), f"{registry.host}/a/tool:1")
        assert trouble(looked)[0] is Trouble.UNKNOWN
        assert registry.asked == []


def test_over_tls_the_certificate_must_be_that_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with fake_registry(serving(), tls=tls) as registry:
        host = f"localhost:{registry.server_address[1]}"
        access = access_to(tmp_path, text=f'[[registry]]\nlocation = "{host}"\n')
        kind, text = trouble(look(access, f"{host}/a/tool:1"))
        assert kind is Trouble.UNKNOWN
        assert "certificate verify failed" in text
        # nothing is sent to one that isn't known
        assert registry.asked == []
        monkeypatch.setattr(client, "CERTIFICATES", tmp_path / "certs.d")
        (tmp_path / "certs.d" / host).mkdir(parents=True)
        shutil.copy(certificate, tmp_path / "certs.d" / host / "ca.crt")
        looked = look(access, f"{host}/a/tool:1")
    assert looked.image is not None
    assert looked.image.digest == IMAGE.manifest.digest


# answers that are none

MANIFEST = json.loads(IMAGE.manifest.content)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Said(500, b"<html>"), "answered 500"),
        (Said(503, b'{"errors":[{"message":"later,\\nplease"}]}'), "answered 503: later, please"),
        (Said(429), "answers no more of our questions just now (429)"),
        (Said(302, b"", {"Location": "/v2/a/tool/manifests/1"}), "redirects more than 5 times"),
        (Said(302, b"", {"Location": "ftp://elsewhere/x"}), "redirects to what is not followed"),
        (Said(body=b"x" * 5_000_000), "sent more than 4194304 bytes for one document"),
        (Said(body=b"{", length=100), "can't be asked: "),
        (Said(body=b"{"), "expected a document, the registry sent something else"),
        (Said(body=b"[" * 100_000), "expected a document, the registry sent something else"),
        (
            Said(body=json.dumps(MANIFEST | {"layers": [{"digest": "x"}]}).encode()),
            "the manifest can't be read",
        ),
        (Said(body=json.dumps(MANIFEST | {"layers": None}).encode()), "the manifest can't be read"),
        (Said(body=b'{"schemaVersion": 1}'), "a manifest of Docker's first format, which isn't read here"),
    ],
)
def test_every_fault_has_its_words_and_is_no_refusal(tmp_path: Path, said: Said, expected: str) -> None:
    with fake_registry(lambda path, headers: said) as registry:
        looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1")
    kind, text = trouble(looked)
    assert kind is Trouble.UNKNOWN
    assert expected in text
    assert not looked.is_refused


@pytest.mark.parametrize("said", [None, Said(length=1000, drips=True)])
def test_a_registry_that_is_slow_takes_no_longer_than_it_may(tmp_path: Path, said: Said | None) -> None:
    with fake_registry(lambda path, headers: said) as registry:
        begun = time.monotonic()
        looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1", seconds=0.5)
        seconds = time.monotonic() - begun
    assert trouble(looked)[0] is Trouble.UNKNOWN
    assert seconds < SILENT_SECONDS


def test_a_registry_that_sends_something_else_under_a_digest_is_caught(tmp_path: Path) -> None:
    other = "sha256:" + hashlib.sha256(b"what was asked for").hexdigest()
    with fake_registry(serving()) as registry:
        looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool@{other}")
    kind, text = trouble(looked)
    assert kind is Trouble.DIGEST
    assert text.endswith(f"the registry sent something else, of digest {IMAGE.manifest.digest}")

    def spoilt(path: str, headers: dict[str, str]) -> Said:
        return Said(body=b"{}") if "/blobs/" in path else serving()(path, headers)  # type: ignore[return-value]

    with fake_registry(spoilt) as registry:
        looked = look(access_to(tmp_path, registry.host), f"{registry.host}/a/tool:1")
    assert trouble(looked)[0] is Trouble.DIGEST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ("mediaType", "schemaVersion", "manifests", "config", "layers", "rootfs", "architecture", "os")
)


@given(st.dictionaries(NAMES, JSON | st.just(OCI_MANIFEST) | st.just(MANIFEST["config"]), max_size=5))
def test_no_document_is_anything_but_read_or_refused(document: dict[str, object]) -> None:
    for read in (read_manifest, read_config):
        try:
            read(json.dumps(document).encode(), "here")
        except ImageError as problem:
            assert str(problem).startswith("here")  # noqa: PT017
