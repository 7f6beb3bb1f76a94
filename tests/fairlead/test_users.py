"""`fairlead users` and `fairlead audit`, directly on a database."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from broker.audit import AuditLog, Entry
from broker.identities import Identities
from broker.records import Owner, Role
from fairlead.cli import main
from federation.clock import SystemClock

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fairlead(
    engine: sa.Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command on this test's database: its exit status, what it printed, and what it said."""
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", database_url)
    monkeypatch.delenv("FAIRLEAD_DEBUG", raising=False)

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main(arguments)
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def identities(engine: sa.Engine) -> Identities:
    return Identities(engine, SystemClock(), None, None)


def test_a_user_s_life(fairlead: Run, identities: Identities) -> None:
    status, out, _ = fairlead(
        "users", "add", "ada", "--role", "operator", "--password-stdin", "--json", stdin="first\nmore\n"
    )
    assert status == 0
    made = json.loads(out)
    assert (made["username"], made["role"], made["disabled"]) == ("ada", "operator", False)
    assert identities.check("ada", "first") == Owner(made["uuid"], "ada", Role.OPERATOR)
    assert fairlead("users", "role", "ada", "user")[0] == 0
    assert fairlead("users", "password", made["uuid"], "--password-stdin", stdin="second\r\n")[0] == 0
    assert identities.check("ada", "first") is None
    assert identities.check("ada", "second") == Owner(made["uuid"], "ada", Role.USER)
    assert fairlead("users", "disable", "ada")[0] == 0
    assert identities.check("ada", "second") is None
    assert json.loads(fairlead("users", "show", "ada", "--json")[1])["disabled"] is True
    assert fairlead("users", "enable", "ada")[0] == 0
    assert identities.check("ada", "second")
    status, out, err = fairlead("users", "remove", "ada")
    assert (status, out, err) == (0, "", f"ada ({made['uuid']}) removed\n")
    assert identities.get("ada") is None


def test_everybody_is_listed_by_name(fairlead: Run, identities: Identities) -> None:
    for name in ("eve", "ada [bold]"):
        identities.create(name, "secret")
    identities.of_token("https://iam.example/", "1", "bob", Role.ADMIN)
    status, out, _ = fairlead("users", "list")
    assert status == 0
    assert out.index("ada [bold]") < out.index("bob") < out.index("eve")
    assert "https://iam.example/" in out
    listed = json.loads(fairlead("users", "list", "--json")[1])
    assert [each.get("issuer") for each in listed] == [None, "https://iam.example/", None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("users", "add", "ada"), "", "--password-stdin"),
        (("users", "add", "ada", "--password-stdin"), "", "standard input has none"),
        (("users", "add", "ada", "--password-stdin"), "  \n", "not all of them blanks"),
        (("users", "add", "a:b", "--password-stdin"), "x\n", "colon"),
        (("users", "add", "eve", "--password-stdin"), "x\n", "already"),
        (("users", "add", "admin", "--password-stdin"), "x\n", "already"),
        (("users", "role", "nobody", "admin"), "", "no user 'nobody'"),
        (("users", "remove", "nobody"), "", "no user 'nobody'"),
        (("users", "role", "eve", "king"), "", "king"),
        (("audit", "--since", "soon"), "", "--since: expected an instant"),
        (("audit", "--action", "login.failed"), "", "--action: expected one of request.create, "),
    ],
)
def test_what_can_not_be_done_is_one_line(
    fairlead: Run, identities: Identities, arguments: tuple[str, ...], stdin: str, said: str
) -> None:
    identities.create("eve", "secret")
    status, out, err = fairlead(*arguments, stdin=stdin)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_the_role_of_who_comes_with_tokens_is_the_issuer_s(fairlead: Run, identities: Identities) -> None:
    bob = identities.of_token("https://iam.example/", "1", "bob", Role.USER)
    assert bob is not None
    status, _, err = fairlead("users", "role", bob.id, "admin")
    assert (status, err.count("\n")) == (2, 1)
    assert "issuer" in err
    assert fairlead("users", "disable", bob.id)[0] == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_names_that_strangers_try_do_nothing_to_the_terminal(fairlead: Run, engine: sa.Engine) -> None:
    log = AuditLog(engine, SystemClock(), timedelta(days=1))
    log.record(Entry(datetime.now(UTC), "login.fail", 401, username="\x1b[2Jroot\n[bold]x"))
    log.stop()
    out = fairlead("audit")[1]
    assert "\x1b" not in out
    assert "?[2Jroot?[bold]x" in out


def test_what_was_done_is_in_the_audit_log(fairlead: Run) -> None:
    fairlead("users", "add", "ada", "--password-stdin", stdin="s3cret-word\n")
    fairlead("users", "disable", "ada")
    status, out, _ = fairlead("audit", "--json")
    entries = json.loads(out)
    assert status == 0
    assert [entry["action"] for entry in entries] == ["identity.change", "identity.create"]
    assert "fairlead users" in entries[0]["username"]
    assert "s3cret-word" not in out
    assert "identity.create" in fairlead("audit", "--action", "identity.create")[1]
    # what the log has no name for
    assert fairlead("audit", "--action", "POST /nowhere") == (0, "", "nothing\n")
    assert len(json.loads(fairlead("audit", "--json", "--limit", "1", "--since", "1 h")[1])) == 1
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert fairlead("audit", "--since", tomorrow) == (0, "", "nothing\n")
    target = entries[0]["target"]
    assert len(json.loads(fairlead("audit", "--json", "--target", target, "--until", tomorrow)[1])) == 2
