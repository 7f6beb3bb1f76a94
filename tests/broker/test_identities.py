"""Users and the administrator."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from broker.identities import NAME_LIMIT, Change, ForeignIdentity, Identities, Taken
from broker.passwords import PASSWORD_LIMIT
from broker.records import Owner, Role
from broker.sessions.listing import Cursor
from broker.tables import identities as table


@pytest.fixture
def identities(engine, clock):
    return Identities(engine, clock, "root", "toor")


def test_a_user_is_known_by_the_right_password_only(identities):
    made = identities.create("Ada Lovelace", "päss:word")
    assert identities.check("Ada Lovelace", "päss:word") == Owner(made.uuid, "Ada Lovelace")
    # and again, when it is remembered
    assert identities.check("Ada Lovelace", "päss:word").id == made.uuid
    for name, password in (
        ("Ada Lovelace", "pass"),
        ("ada lovelace", "päss:word"),
        ("Bob", "päss:word"),
        ("", ""),
    ):
        assert identities.check(name, password) is None


def test_another_process_knows_the_user(identities, engine, clock):
    made = identities.create("ada", "secret")
    assert Identities(engine, clock, None, None).check("ada", "secret").id == made.uuid


def test_a_changed_password_takes_effect_at_once(identities, engine, clock):
    identities.create("ada", "old")
    identities.create("bob", "new")
    assert identities.check("ada", "old")
    with engine.begin() as connection:
        other = connection.execute(
            select(table.c.password_hash).where(table.c.username == "bob")
        ).scalar_one()
        connection.execute(update(table).where(table.c.username == "ada").values(password_hash=other))
    assert identities.check("ada", "old") is None
    assert identities.check("ada", "new")


def test_no_password_is_stored(identities, engine):
    identities.create("ada", "correct horse")
    with engine.connect() as connection:
        (row,) = connection.execute(select(table)).all()
    assert "correct horse" not in str(row)
    assert row.password_hash.startswith("$argon2id$")


def test_the_administrator(identities, engine, clock):
    assert identities.check("root", "toor") == Owner("admin", "root", role=Role.ADMIN)
    assert identities.check("root", "root") is None
    assert identities.check("toor", "toor") is None
    for user, password in ((None, None), ("root", None), (None, "toor"), ("", ""), ("root", "")):
        nobody = Identities(engine, clock, user, password)
        assert nobody.check(user or "", password or "") is None


def test_a_name_is_taken_once(identities):
    first = identities.create("ada", "one")
    with pytest.raises(Taken) as caught:
        identities.create("ada", "two")
    assert caught.value.identity == first
    assert identities.check("ada", "two") is None
    with pytest.raises(Taken) as caught:
        identities.create("root", "two")
    assert caught.value.identity is None


def test_of_many_at_once_one_gets_the_name(identities):
    def create(number):
        try:
            return identities.create("ada", f"password {number}")
        except Taken:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [each for each in pool.map(create, range(8)) if each]
    assert len(made) == 1


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("", "x", "username"),
        ("  ", "x", "username"),
        ("a:b", "x", "colon"),
        ("a\nb", "x", "control"),
        ("a" * (NAME_LIMIT + 1), "x", "username"),
        ("ada", "", "password"),
        ("ada", "   ", "password"),
        ("ada", "x" * (PASSWORD_LIMIT + 1), "password"),
        ("ada", "half a pair: \ud800", "password"),
        ("half a pair: \ud800", "x", "username"),
    ],
)
def test_names_and_passwords_that_cannot_be(identities, username, password, said):
    with pytest.raises(ValueError, match=said):
        identities.create(username, password)
    if "\ud800" not in username + password:  # which no Authorization header in UTF-8 can hold
        assert identities.check(username, password) is None


def test_what_is_changed_takes_effect_at_once(identities):
    ada = identities.create("ada", "old")
    assert identities.check("ada", "old") == Owner(ada.uuid, "ada", Role.USER)
    assert identities.change(ada.uuid, Change(role=Role.OPERATOR)).role is Role.OPERATOR
    assert identities.check("ada", "old").sees_all
    assert identities.change(ada.uuid, Change(password="new")).role is Role.OPERATOR
    assert identities.check("ada", "old") is None
    assert identities.check("ada", "new").role is Role.OPERATOR
    assert identities.change(ada.uuid, Change(disabled=True)).disabled
    assert identities.check("ada", "new") is None
    assert identities.change(ada.uuid, Change(disabled=False)) == identities.get("ada")
    assert identities.check("ada", "new")
    assert identities.change(ada.uuid, Change()) == identities.get(ada.uuid)
    with pytest.raises(ValueError, match="password"):
        identities.change(ada.uuid, Change(password=" "))
    assert identities.check("ada", "new")


def test_who_is_removed_is_gone_and_the_next_of_that_name_is_somebody_else(identities):
    first = identities.create("ada", "secret")
    assert identities.remove(first.uuid) == first
    assert identities.remove(first.uuid) is None
    assert identities.check("ada", "secret") is None
    assert identities.change(first.uuid, Change(role=Role.ADMIN)) is None
    assert identities.create("ada", "secret").uuid != first.uuid


def test_users_are_listed_page_by_page(identities, clock):
    names = ["eve", "ada", "bob", "dan", "cyd"]
    for name in names:
        identities.create(name, "secret")
        clock.advance(1)
    # two of the same name, of two issuers, at once
    identities.of_token("https://one.example", "1", "bob", Role.USER)
    identities.of_token("https://two.example", "1", "bob", Role.USER)
    seen, after = [], None
    while page := identities.page(after, limit=2):
        seen += page
        after = Cursor(page[-1].created, page[-1].uuid)
    assert [each.username for each in seen] == ["bob", "bob", *reversed(names)]
    assert len({each.uuid for each in seen}) == 7


def test_the_same_subject_of_two_issuers_and_a_user_of_that_name_are_three(identities):
    local = identities.create("ada", "secret")
    owners = [identities.of_token(issuer, "ada", "ada", Role.USER) for issuer in ("https://a", "https://b")]
    again = [identities.of_token(issuer, "ada", "ada", Role.USER) for issuer in ("https://a", "https://b")]
    assert owners == again
    assert len({local.uuid, *(owner.id for owner in owners)}) == 3
    assert identities.get("ada") == local
    # who comes with tokens has no password to try
    identities.remove(local.uuid)
    for password in ("", "None", "secret"):
        assert identities.check("ada", password) is None


def test_who_comes_with_tokens_has_the_role_of_the_last_one(identities):
    made = identities.of_token("https://a", "1", "ada", Role.USER)
    assert identities.of_token("https://a", "1", "Ada", Role.ADMIN) == Owner(made.id, "Ada", Role.ADMIN)
    known = identities.get(made.id)
    assert (known.username, known.role, known.local) == ("Ada", Role.ADMIN, False)
    for change in (Change(role=Role.USER), Change(password="secret"), Change(role=Role.ADMIN, disabled=True)):
        with pytest.raises(ForeignIdentity):
            identities.change(made.id, change)
    assert identities.change(made.id, Change(disabled=True)).disabled
    assert identities.of_token("https://a", "1", "Ada", Role.ADMIN) is None


def test_the_first_tokens_of_somebody_may_come_at_once(identities):
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(identities.of_token, "https://a", "1", "ada", Role.USER) for _ in range(8)]
        assert len({job.result().id for job in jobs}) == 1
