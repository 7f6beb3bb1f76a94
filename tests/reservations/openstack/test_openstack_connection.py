"""What a person reads when a cloud can't be asked: one line, with what was expected, and no secret."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from federation.errors import FairleadError, InputError, OutsideError
from reservations.calendar import Need
from reservations.leases import RefusedError
from reservations.openstack import said
from reservations.openstack.connection import Answer, Cloud, cloud_of
from tests.loopback import said_json, serving
from tests.reservations.credit_services import clouds_yaml
from tests.waiting import until

SECRET = "not-the-password-7261"


def test_options_that_name_no_cloud_are_input_errors():
    with pytest.raises(InputError, match=r"space.cloud: expected the name of a cloud in clouds.yaml, got 7"):
        cloud_of({"cloud": 7}, "space")
    with pytest.raises(InputError, match=r"space.timeout_seconds: expected a number above 0, got 0"):
        cloud_of({"timeout_seconds": 0}, "space")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"error_code": 500, "error_message": "Not enough hosts available"}, "Not enough hosts available"),
        ({"forbidden": {"code": 403, "message": "Quota exceeded"}}, "Quota exceeded"),
        (
            {"errors": [{"status": 403, "detail": "Access was denied.\n\n Sorry.  "}]},
            "Access was denied. Sorry.",
        ),
        ("<html>", "status 500"),
        (None, "status 500"),
    ],
)
def test_every_service_says_no_in_its_own_way(body, sentence):
    assert Answer(500, body).said == sentence


def test_the_connection_ends_with_the_cloud(monkeypatch, tmp_path):
    with serving(lambda asked: said_json({})) as server:
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds_yaml(tmp_path, server.origin)))
        cloud = Cloud("kitty", "space")
        answer = cloud.ask("rating", "GET", "/v2/summary")
        assert answer.ok
        assert server.open_connections == 1
        del cloud
        until(lambda: server.open_connections == 0, "no connection is left")


@pytest.fixture
def at(monkeypatch, tmp_path):
    """Makes a cloud whose Keystone is said to be at that address."""

    def make(auth_url):
        names = dict.fromkeys(("username", "password", "project_name"), SECRET)
        names |= {"user_domain_name": "Default", "project_domain_name": "Default"}
        file = tmp_path / "clouds.yaml"
        file.write_text(yaml.safe_dump({"clouds": {"mine": {"auth": {"auth_url": auth_url, **names}}}}))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
        return Cloud("mine", "[[sites.perth.space]] blazar")

    return make


def test_a_cloud_that_does_not_answer_is_told_once_and_in_words(at, caplog):
    with serving(lambda asked: said_json({})) as server:
        tls = line(at(f"{server.origin.replace('http:', 'https:')}/v3"), OutsideError)
    assert tls.endswith("speaks no TLS there: expected its address to begin with http://")
    refused = line(at("http://127.0.0.1:9/v3"), OutsideError)
    assert re.search(r"can't be reached: http://127.0.0.1:9\S*: Connection refused$", refused)
    # what the library would say of that besides, without being asked
    assert not caplog.records


@pytest.mark.parametrize("url", ["127.0.0.1:9/v3", "localhost:9/v3", "keystone", "htp://127.0.0.1:9/v3"])
def test_an_address_that_is_none_is_told_as_that(at, url):
    assert line(at(url), InputError).endswith(
        f"auth_url of cloud 'mine': expected an address that begins with https:// or http://, got {url!r}"
    )


@pytest.fixture
def entry(cloud, monkeypatch, tmp_path):
    """Makes a cloud of an entry of clouds.yaml that differs from that of alice in `astro`."""

    def make(auth=(), timeout_seconds=75.0, **changes):
        entry = yaml.safe_load(cloud.clouds_yaml.read_text())["clouds"]["member"]
        entry = {**entry, **changes, "auth": {**entry["auth"], **dict(auth)}}
        entry["auth"] = {key: value for key, value in entry["auth"].items() if value is not None}
        path = tmp_path / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": {"mine": entry}}))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
        return Cloud("mine", "[[sites.perth.space]] blazar", timeout_seconds)

    return make


def line(cloud, kind=FairleadError):
    with pytest.raises(kind) as problem:
        cloud.ask("reservation", "GET", "/leases")
    text = str(problem.value)
    assert "\n" not in text
    assert SECRET not in text
    assert text.startswith("[[sites.perth.space]] blazar: ")
    return text


@pytest.mark.cloud
def test_wrong_credentials_are_input_errors(entry, cloud, monkeypatch):
    refuses = "Keystone refuses these credentials"
    assert refuses in line(entry({"password": SECRET}), InputError)
    assert refuses in line(entry({"project_name": "nosuch"}), InputError)
    assert "for no project" in line(entry({"project_name": None, "project_domain_name": None}), InputError)
    assert "not complete" in line(entry({"auth_url": None}), InputError)
    assert refuses in line(entry(by_token(SECRET), auth_type="v3token"), InputError)
    assert "Cloud nosuch was not found" in line(Cloud("nosuch", "[[sites.perth.space]] blazar"), InputError)


def by_token(token):
    return {"token": token, "username": None, "password": None, "user_domain_name": None}


@pytest.mark.cloud
def test_a_token_that_ends_while_we_work_is_told(entry, cloud):
    """Keystone remembers for a while that a revoked token was good: here it is spoilt on our own side."""
    with cloud.connect("member") as member:
        mine = entry(by_token(member.session.get_token()), auth_type="v3token")
        assert mine.ask("reservation", "GET", "/leases").ok
        caller = mine.caller()
        assert (caller.project_id, caller.application_credential) == (cloud.projects["astro"], False)
    session = mine._connection.session
    session.auth.get_access(session)._auth_token = SECRET
    for method in session.auth.auth_methods:
        method.token = SECRET
    assert "credentials" in line(mine, InputError)


@pytest.mark.cloud
def test_a_cloud_that_is_not_there_is_an_outside_error(entry, cloud):
    assert "has no Blazar" in line(entry(region_name="elsewhere"), InputError)
    assert "can't be reached" in line(entry({"auth_url": "http://127.0.0.1:9/v3"}), OutsideError)
    override = entry(reservation_endpoint_override="http://127.0.0.1:9/v1")
    assert "Blazar of cloud 'mine' can't be reached" in line(override, OutsideError)
    cloud.stop("blazar-api")
    assert "Blazar" in line(entry(), OutsideError)
    cloud.start("blazar-api")
    assert entry().ask("reservation", "GET", "/leases").ok


@pytest.mark.cloud
def test_a_self_signed_certificate_is_trusted_where_it_is_named(entry, cloud):
    with cloud.tls("identity") as keystone:
        behind = {"auth_url": keystone.url}
        assert "can't be trusted: self-signed certificate: expected" in line(entry(behind), OutsideError)
        assert entry(behind, cacert=str(keystone.certificate)).ask("compute", "GET", "/limits").ok
        assert entry(behind, verify=False).ask("compute", "GET", "/limits").ok


@pytest.mark.cloud
def test_application_credentials_read_but_make_no_reservations(source_of, cloud, monkeypatch, tmp_path):
    with cloud.connect("member") as member:
        made = member.identity.create_application_credential(
            user=member.current_user_id, name="fairlead", roles=[{"name": "member"}], unrestricted=True
        )
    entry = {
        "auth_type": "v3applicationcredential",
        "auth": {
            "auth_url": cloud.auth_url,
            "application_credential_id": made.id,
            "application_credential_secret": made.secret,
        },
        "region_name": "RegionOne",
    }
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": {"credential": entry}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    leases = source_of("credential").leases()
    assert leases.list() == []
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(RefusedError, match="no reservations for application credentials") as refused:
        leases.reserve(
            "x", Need({}, whole_hosts=True), "physical:host", tomorrow, tomorrow + timedelta(hours=1)
        )
    assert refused.value.limit == said.RIGHTS
