"""Settings: the defaults, the file, the environment; and what can't be used is told by where it stands."""

# The lines that users get are compared whole, and stand here as they get them.
# ruff: noqa: E501

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InputError
from federation.settings import Settings, load_settings

HOME = {"HOME": "/home/ada"}
OIDC = {"FAIRLEAD_OIDC_ISSUER": "https://iam.example/", "FAIRLEAD_OIDC_AUDIENCE": "https://broker.example"}


@pytest.fixture
def file(tmp_path):
    def file(text: str) -> Path:
        path = tmp_path / "fairlead.toml"
        path.write_text(text)
        return path

    return file


def test_the_defaults():
    assert load_settings(None, HOME) == Settings(
        database_url="sqlite:////home/ada/.local/share/fairlead/fairlead.db",
        work_directory=Path("/home/ada/.local/share/fairlead/work"),
        catalogue=None,
        host="127.0.0.1",
        port=8080,
        public_url=None,
        admin_user=None,
        admin_password=None,
        offer_lifetime_seconds=300,
    )


def test_data_goes_where_xdg_says_unless_that_is_relative():
    assert load_settings(None, {**HOME, "XDG_DATA_HOME": "/data"}).work_directory == Path(
        "/data/fairlead/work"
    )
    settings = load_settings(None, {**HOME, "XDG_DATA_HOME": "data"})
    assert settings.work_directory == Path("/home/ada/.local/share/fairlead/work")


def test_the_environment_goes_over_the_file_goes_over_the_defaults(file):
    path = file('port = 1\nhost = "0.0.0.0"\noffer_lifetime_seconds = "5 min"\n')
    settings = load_settings(path, {**HOME, "FAIRLEAD_PORT": "2", "FAIRLEAD_HOST": ""})
    assert (settings.port, settings.host, settings.offer_lifetime_seconds) == (2, "0.0.0.0", 300)
    assert settings.admin_user is None


def test_every_setting_can_come_from_the_file_and_from_the_environment(file):
    values = {
        "database_url": "postgresql://u@h/d",
        "work_directory": "/work-here",
        "catalogue": "/etc/sites.toml",
        "host": "::1",
        "port": 9,
        "public_url": "https://broker.example.org/x/",
        "admin_user": "ada",
        "admin_password": "pass word",
        "offer_lifetime_seconds": 60,
        "retention_seconds": "30 d",
        "result_lifetime_seconds": "1 h",
        "audit_retention_seconds": "90 d",
        "sessions_per_site": 3,
        "supervise": False,
        "reports_directory": "/reports",
        "requests_per_minute": 0,
        "oidc_issuer": "https://iam.example.org/",
        "oidc_audience": "broker",
        "oidc_clients": ["portal"],
        "oidc_groups": ["prototyping", "src"],
        "oidc_scopes": ["run"],
        "oidc_operator_groups": ["operators"],
        "oidc_admin_groups": ["admins"],
        "oidc_client_id": "pages",
        "oidc_client_secret": "client secret",
        "oidc_sign_in_scopes": ["openid", "wlcg.groups"],
    }
    assert set(values) == {field.name for field in fields(Settings)}

    def variable(value: object) -> str:
        return ",".join(value) if isinstance(value, list) else str(value).replace("False", "false")

    by_environment = load_settings(
        None, {f"FAIRLEAD_{name.upper()}": variable(v) for name, v in values.items()}
    )
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    assert load_settings(file(text), HOME) == by_environment
    assert by_environment == Settings(
        "postgresql://u@h/d",
        Path("/work-here"),
        Path("/etc/sites.toml"),
        "::1",
        9,
        "https://broker.example.org/x",
        "ada",
        "pass word",
        60.0,
        retention_seconds=30 * 86_400.0,
        result_lifetime_seconds=3600.0,
        audit_retention_seconds=90 * 86_400.0,
        sessions_per_site=3,
        supervise=False,
        reports_directory=Path("/reports"),
        requests_per_minute=0,
        oidc_issuer="https://iam.example.org/",
        oidc_audience="broker",
        oidc_clients=("portal",),
        oidc_groups=("prototyping", "src"),
        oidc_scopes=("run",),
        oidc_operator_groups=("operators",),
        oidc_admin_groups=("admins",),
        oidc_client_id="pages",
        oidc_client_secret="client secret",
        oidc_sign_in_scopes=("openid", "wlcg.groups"),
    )


def test_paths_in_a_file_are_relative_to_the_file(file, tmp_path):
    settings = load_settings(file('catalogue = "sites.toml"\nwork_directory = "w"'), HOME)
    assert (settings.catalogue, settings.work_directory) == (tmp_path / "sites.toml", tmp_path / "w")
    assert load_settings(None, {**HOME, "FAIRLEAD_CATALOGUE": "sites.toml"}).catalogue == Path("sites.toml")


def test_the_password_is_not_shown():
    issuer = {"FAIRLEAD_OIDC_ISSUER": "https://iam.example.org", "FAIRLEAD_OIDC_AUDIENCE": "b"}
    client = {"FAIRLEAD_OIDC_CLIENT_ID": "pages", "FAIRLEAD_OIDC_CLIENT_SECRET": "s3cret"}
    settings = load_settings(None, {**HOME, "FAIRLEAD_ADMIN_PASSWORD": "s3cret", **issuer, **client})
    assert "s3cret" not in repr(settings)


def test_a_client_of_no_issuer_is_refused():
    with pytest.raises(InputError, match="oidc_client_id is for signing in at an issuer"):
        load_settings(None, {**HOME, "FAIRLEAD_OIDC_CLIENT_ID": "pages"})


def test_variables_of_the_clients_and_of_others_are_left_alone():
    others = {"FAIRLEAD_URL": "x", "FAIRLEAD_USER": "x", "FAIRLEAD_PASSWORD": "x", "FAIRLEAD_DEBUG": "1"}
    assert load_settings(None, {**HOME, **others, "PORT": "x"}) == load_settings(None, HOME)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\nport = 70000", 2, "port: expected a port between 0 and 65535 (0 is any free one), got 70000"),
        ("port = true", 1, "port: expected a port between 0 and 65535 (0 is any free one), got True"),
        ("host = ''", 1, "host: expected a text that is not empty, got ''"),
        ("catalogue = 7", 1, "catalogue: expected a text that is not empty, got 7"),
        ("public_url = 'ftp://x'", 1, "public_url: expected a URL such as \"https://broker.example.org\", got 'ftp://x'"),
        ("public_url = 'http://h:x'", 1, "public_url: expected a URL such as \"https://broker.example.org\", got 'http://h:x'"),
        ("offer_lifetime_seconds = 0", 1, "offer_lifetime_seconds: expected from 1 second to 1 day, such as 300 or \"5 min\", got 0"),
        ("offer_lifetime_seconds = nan", 1, "offer_lifetime_seconds: expected from 1 second to 1 day, such as 300 or \"5 min\", got nan"),
        ("oidc_client_secret = 12345", 1, "oidc_client_secret: expected a text that is not empty, got something else"),
        ("admin_password = 12345", 1, "admin_password: expected a text that is not empty, got something else"),
        ("\n\nprot = 1", 3, "prot: unknown setting; expected one of database_url, work_directory, catalogue, host, port, public_url, admin_user, admin_password, offer_lifetime_seconds, retention_seconds, result_lifetime_seconds, audit_retention_seconds, sessions_per_site, supervise, reports_directory, requests_per_minute, oidc_issuer, oidc_audience, oidc_clients, oidc_groups, oidc_scopes, oidc_operator_groups, oidc_admin_groups, oidc_client_id, oidc_client_secret, oidc_sign_in_scopes"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_names_the_line(file, text, line, message):
    path = file(text)
    with pytest.raises(InputError) as caught:
        load_settings(path, HOME)
    assert str(caught.value) == f"{path}:{line}: {message}"


def test_a_file_that_is_no_toml_or_is_not_there_is_told(file, tmp_path):
    with pytest.raises(InputError, match=r"fairlead\.toml:2: expected TOML: "):
        load_settings(file("port = 1\nhost ="), HOME)
    with pytest.raises(InputError, match=r"the settings file can't be read: No such file"):
        load_settings(tmp_path / "no.toml", HOME)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FAIRLEAD_PORT", "-1", "expected a port between 0 and 65535"),
        ("FAIRLEAD_PORT", "80.0", "expected a port"),
        ("FAIRLEAD_OFFER_LIFETIME_SECONDS", "soon", "expected from 1 second to 1 day"),
        ("FAIRLEAD_PUBLIC_URL", "broker", "expected a URL"),
        ("FAIRLEAD_DATABSE_URL", "sqlite:///x", "unknown setting; expected one of FAIRLEAD_DATABASE_URL, "),
        ("FAIRLEAD_port", "1", "unknown setting"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(variable, value, message):
    with pytest.raises(InputError) as caught:
        load_settings(None, {**HOME, variable: value})
    assert str(caught.value).startswith(f"environment variable {variable}: {message}")


@given(st.sampled_from([field.name for field in fields(Settings)]), st.text(min_size=1))
def test_no_value_raises_anything_but_one_line(name, value):
    variable = f"FAIRLEAD_{name.upper()}"
    told = ""
    try:
        load_settings(None, {**HOME, **OIDC, variable: value})
    except InputError as error:
        told = str(error)
    assert told == "" or (told.startswith(f"environment variable {variable}: ") and "\n" not in told)


def test_a_home_directory_that_nobody_has() -> None:
    with pytest.raises(InputError) as refused:
        load_settings(None, HOME | {"FAIRLEAD_WORK_DIRECTORY": "~nobody-is-called-this/work"})
    assert "FAIRLEAD_WORK_DIRECTORY" in str(refused.value)
    assert "home directory" in str(refused.value)


def test_the_issuer_of_tokens_is_kept_letter_by_letter(file):
    settings = load_settings(file('oidc_groups = ["ska", "escape"]\n'), {**HOME, **OIDC})
    assert settings.oidc_issuer == "https://iam.example/"
    assert settings.oidc_groups == ("ska", "escape")
    for issuer in ("http://localhost:8080", "http://127.0.0.1:1/realm", "http://[::1]:1"):
        environ = {**HOME, **OIDC, "FAIRLEAD_OIDC_ISSUER": issuer}
        assert load_settings(None, environ).oidc_issuer == issuer


@pytest.mark.parametrize(
    "issuer", ["http://iam.example", "http://127.evil.example", "iam.example", "https://"]
)
def test_an_issuer_that_anybody_could_play_is_refused(issuer):
    with pytest.raises(InputError, match="FAIRLEAD_OIDC_ISSUER: expected a URL"):
        load_settings(None, {**HOME, **OIDC, "FAIRLEAD_OIDC_ISSUER": issuer})


@pytest.mark.parametrize("missing", OIDC)
def test_issuer_and_audience_belong_together(missing):
    with pytest.raises(InputError, match="belong together"):
        load_settings(None, {**HOME, **OIDC, missing: ""})
