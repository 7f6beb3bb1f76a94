"""A request that makes containers inside of its own goes only where that is known to work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import Level
from broker.nesting import KINDS, VARIABLE, Attempt, Kind, Nesting, Trial
from broker.nesting.needs import check_nesting
from broker.nesting.remedies import remedy
from broker.nesting.store import read_nesting, write_nesting
from broker.records import Owner
from federation.database import write
from tests.broker.conftest import NOW, make_document, make_request

NO_PROC = Attempt(1, "bwrap: Can't mount proc on /newroot/proc: Operation not permitted")
WORKS = Attempt(0)
FACTS = {"kernel": "6.18.44", "user": "0"}
DEFAULT = Trial(
    {Kind.USERNS: WORKS, Kind.BWRAP: NO_PROC, Kind.PODMAN: Attempt(127, "the image has no podman")}, FACTS
)
ALL = Trial(dict.fromkeys(Kind, WORKS), FACTS)


def known(site, plain=DEFAULT, privileged="{0} runs no privileged containers"):
    reason = privileged.format(site) if isinstance(privileged, str) else privileged
    return Nesting(site, NOW, "quay.io/podman/stable", plain, reason)


def document(*kinds, **more):
    found = make_document()
    found["executable"] |= {"environment": {VARIABLE: ",".join(kinds)}, **more}
    return found


def answer(make_broker, engine, asked, *nestings):
    with write(engine) as connection:
        for each in nestings:
            write_nesting(connection, each)
    return make_broker().request(asked, Owner("ada", "ada"))


def of_nesting(offers):
    return {note.values["site"]: note for note in offers.notes if note.kind == "nesting"}


def test_it_goes_where_it_works_and_the_others_say_why_not(make_broker, engine):
    asked = document("bwrap")
    offers = answer(make_broker, engine, asked, known("perth"), known("lausanne", ALL))
    assert {session.placement.site_id for session in offers.sessions} == {"lausanne"}
    notes = of_nesting(offers)
    assert notes["perth"].text == (
        "in containers at perth bwrap doesn't work (bubblewrap with a /proc of its own): on 2026-11-25 it "
        f"said: {NO_PROC.said}; its operator would {remedy(Kind.BWRAP, NO_PROC)}"
    )
    assert "it isn't known whether containers at penticton can make others" in notes["penticton"].text
    assert notes["perth"].path == f"/executable/environment/{VARIABLE}"
    chosen = [note.text for note in offers.sessions[0].placement.notes if note.kind == "nesting"]
    assert chosen == [
        "in containers at lausanne bwrap works (bubblewrap with a /proc of its own), as tried on 2026-11-25"
    ]


def test_where_it_works_nowhere_the_answer_is_no(make_broker, engine):
    offers = answer(make_broker, engine, document("bwrap", "podman"), known("perth"))
    assert not offers.yes
    assert {note.level for note in offers.notes if note.kind == "nesting"} == {Level.ERROR}
    texts = [note.text for note in offers.notes if note.values.get("site") == "perth"]
    assert any(
        "whether podman works in its containers isn't known: on 2026-11-25 the image has no podman" in text
        for text in texts
    )


def test_a_request_that_needs_none_goes_anywhere(make_broker, engine):
    offers = answer(make_broker, engine, make_document(), known("perth"))
    assert {session.placement.site_id for session in offers.sessions} == {"perth", "lausanne", "penticton"}
    assert not of_nesting(offers)


def test_an_unknown_kind_is_named_with_those_that_there_are(make_broker, engine):
    offers = answer(make_broker, engine, document("docker"), known("perth", ALL))
    assert not offers.yes
    assert of_nesting(offers)["perth"].text == (
        "perth knows no container in a container called 'docker': expected " + ", ".join(KINDS)
    )


def test_privileged_requests_go_by_what_works_in_privileged_containers():
    executable = replace(make_request().executable, environment={VARIABLE: "bwrap"})
    site = known("perth", privileged=ALL)
    [refused] = check_nesting("perth", executable, site)
    assert refused.level is Level.ERROR
    assert refused.text.endswith("; it works in privileged ones: ask for privileged")
    [fine] = check_nesting("perth", replace(executable, privileged=True), site)
    assert fine.level is Level.INFO
    [unknown] = check_nesting("perth", replace(executable, privileged=True), known("perth"))
    assert unknown.text.endswith("isn't known: perth runs no privileged containers")


def test_what_was_found_last_counts_and_comes_back_as_it_was(engine):
    first, second = known("perth"), known("perth", ALL, ALL)
    with write(engine) as connection:
        write_nesting(connection, first)
        write_nesting(connection, known("lausanne"))
    with engine.connect() as connection:
        assert read_nesting(connection)["perth"] == first
    with write(engine) as connection:
        write_nesting(connection, replace(second, tried=NOW + timedelta(days=1)))
    with engine.connect() as connection:
        found = read_nesting(connection)
    assert set(found) == {"perth", "lausanne"}
    assert found["perth"] == replace(second, tried=NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("unshare: unshare failed: Function not implemented", "seccomp"),
        ("unshare: unshare failed: No space left on device", "user.max_user_namespaces"),
        ("unshare: unshare failed: Operation not permitted", "kernel.unprivileged_userns_clone"),
        ("bwrap: No permissions to create new namespace", "kernel.unprivileged_userns_clone"),
        ('Error: runc: error mounting "proc" to rootfs at "/proc": operation not permitted', "unmask=ALL"),
        ("Error: crun: sethostname: Operation not permitted: OCI permission denied", "podman-shared"),
    ],
)
def test_each_failure_has_its_remedy(said, word):
    assert word in remedy(Kind.PODMAN, Attempt(1, said))


@given(st.text(), st.sampled_from(Kind), st.integers(1, 255))
def test_whatever_it_says_there_is_a_sentence(said, kind, code):
    plain = Trial({kind: Attempt(code, said)}, {})
    executable = replace(make_request().executable, environment={VARIABLE: kind.value})
    [note] = check_nesting("perth", executable, known("perth", plain))
    assert note.level is Level.ERROR
    assert "perth" in note.text
