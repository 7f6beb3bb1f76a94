"""Users and the administrator."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from broker.identities import NAME_LIMIT, PASSWORD_LIMIT, Identities, Taken
from broker.records import Owner, Role
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
    ],
)
def test_names_and_passwords_that_cannot_be(identities, username, password, said):
    with pytest.raises(ValueError, match=said):
        identities.create(username, password)
    assert identities.check(username, password) is None
