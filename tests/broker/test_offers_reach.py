"""A site is offered with what it may fetch: by the rules of the mover, and by names as they are there."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalogues.urls import allowed_at
from broker.model import DataItem, Level, Part, Replica
from broker.offers.engine import find_candidates, make_offers
from broker.offers.policy import usable_data
from broker.offers.reach import LOOK_UP_SECONDS, Reach, look_up
from federation.hosts import LocalHost, SshHost
from federation.sites import Policy
from netprobe.addresses import ForbiddenError, targets
from tests.broker.conftest import NOW, make_federation, make_request, make_site
from tests.broker.offering import LIFETIME, forecast, load_platforms, sites
from tests.waiting import SECONDS, until

PERTH = replace(make_site("perth", -31.95, 115.86), data_hosts=("10.1.0.5", "data.perth.example"))
LAUSANNE = replace(make_site("lausanne", 46.52, 6.63), data_hosts=("10.2.0.5",))
WORLD = make_federation(PERTH, LAUSANNE)
NAMES = {"inside.example": ["192.168.7.7"], "outside.example": ["93.184.216.34"]}


@pytest.fixture(scope="module", autouse=True)
def patient():
    """A busy machine takes its time to begin a thread, or a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.offers.reach.LOOK_UP_SECONDS", 60.0)
        yield


def names(host, wanted):
    return {name: NAMES[name] for name in wanted if name in NAMES}


def an_item(*urls):
    return DataItem("data-a", "a.fits", 1_000_000, tuple(Replica(url, None) for url in urls))


def ask(item, federation=WORLD, reach=None):
    reach = reach or Reach(federation, names)
    request = make_request(data=[item])
    candidates, reasons = find_candidates(
        federation, load_platforms(federation), request, forecast, NOW, {}, reach=reach
    )
    return make_offers(candidates, {}, NOW, LIFETIME, refused=reasons)


@pytest.mark.parametrize("address", ["192.168.7.7", "127.0.0.1", "169.254.169.254", "[fd00::1]", "0x7f.1"])
def test_a_private_address_is_a_no_that_says_what_the_operator_would_change(address):
    offers = ask(an_item(f"http://{address}:8080/a.fits"))
    assert not offers.placements
    assert {note.kind for note in offers.notes} == {"address-forbidden"}
    (text,) = [note.text for note in offers.notes if note.values["site"] == "perth"]
    assert f"perth may not fetch a.fits from http://{address}:8080" in text
    assert f'allowed_networks = ["{address.strip("[]")}"] in [sites.perth.policy]' in text
    assert {note.path for note in offers.notes} == {"/data/0"}


def test_what_the_message_names_is_what_helps():
    allowing = replace(PERTH, policy=Policy(allowed_networks=("192.168.7.7",)))
    federation = make_federation(allowing, LAUSANNE)
    assert sites(ask(an_item("http://192.168.7.7/a.fits"), federation)) == ["perth"]
    named = replace(PERTH, policy=Policy(allowed_networks=("inside.example",)))
    federation = make_federation(named, LAUSANNE)
    assert sites(ask(an_item("http://inside.example/a.fits"), federation)) == ["perth"]


def test_storage_of_the_federation_and_public_addresses_are_anybody_s():
    for url in (
        "http://10.1.0.5/a",
        "http://10.2.0.5/a",
        "http://93.184.216.34/a",
        "http://outside.example/a",
    ):
        assert sorted(sites(ask(an_item(url)))) == ["lausanne", "perth"]


def test_what_nobody_knows_or_what_is_no_url_is_left_to_the_mover():
    for url in ("http://nowhere.example/a", "rucio://scope/a", "http://-o.example/a"):
        assert len(ask(an_item(url)).placements) == 2


def test_another_replica_is_priced_and_moved_instead():
    item = an_item("http://inside.example/a.fits", "http://93.184.216.34/a.fits")
    offers = ask(item)
    for placement in offers.placements:
        assert [move.url for move in placement.staging.moves] == ["http://93.184.216.34/a.fits"]
        said = [note for note in placement.notes if note.kind == "address-forbidden"]
        assert [note.level for note in said] == [Level.INFO]
        assert "inside.example (192.168.7.7) is no public address" in said[0].text
        assert "another replica is used" in said[0].text


def test_a_part_that_lies_nowhere_else_is_a_no():
    inside, outside = (Replica(f"http://{name}.example/", None) for name in ("inside", "outside"))
    item = replace(
        an_item(),
        replicas=(inside, outside),
        files=5,
        parts=(Part(9, 3, (outside, inside)), Part(1, 2, (inside,))),
    )
    offers = ask(item)
    assert not offers.placements
    errors = [note.text for note in offers.notes if note.level is Level.ERROR]
    assert len(errors) == 2
    assert "may not fetch 2 files of a.fits from http://inside.example:80" in errors[0]


def test_a_name_is_looked_up_where_it_will_be_fetched_and_kept_for_a_while():
    far = SshHost("perth.example")
    asked = []

    def split(host, wanted):
        asked.append((host, tuple(wanted)))
        return {name: ["10.9.9.9"] if host == far else ["93.184.216.34"] for name in wanted}

    now = [0.0]
    federation = make_federation(replace(PERTH, host=far), LAUSANNE)
    reach = Reach(federation, split, lambda: now[0])
    item = an_item("http://split.example/a")
    for _ in range(2):
        assert sites(ask(item, federation, reach)) == ["lausanne"]
    assert sorted(asked, key=str) == sorted(
        [(far, ("split.example",)), (LocalHost(), ("split.example",))], key=str
    )
    now[0] += 3600
    ask(item, federation, reach)
    assert len(asked) == 4


def test_a_resolver_that_fails_forbids_nothing():
    def broken(host, wanted):
        raise OSError("no resolver")

    assert len(ask(an_item("http://inside.example/a"), reach=Reach(WORLD, broken)).placements) == 2


def test_what_is_said_late_is_known_from_then_on_and_what_nobody_was_asked_is_asked(monkeypatch):
    monkeypatch.setattr("broker.offers.reach.AT_ONCE", 1)
    asked, go_on = Counter(), threading.Event()

    def slow(host, wanted):
        asked.update(wanted)
        go_on.wait(SECONDS)
        return dict.fromkeys(wanted, NAMES["inside.example"])

    reach = Reach(WORLD, slow)
    replicas = [Replica(f"http://{name}.example/a.fits", None) for name in ("one", "two")]

    def refused():
        return [one for one in replicas if reach.wrong_with(PERTH, one) is not None]

    with monkeypatch.context() as patch:
        # its time is over as soon as the first is asked
        patch.setattr("broker.offers.reach.wait", lambda *_: until(lambda: asked, "a resolver that is asked"))
        reach.learn([PERTH], replicas)
    assert not refused()
    # who asks next waits for neither, but has the other one asked
    reach.learn([PERTH], [one for one in replicas if next(iter(asked)) in one.url])
    assert asked.total() == 1
    go_on.set()
    until(lambda: len(refused()) == 1, "its answer")
    reach.learn([PERTH], replicas)
    assert refused() == replicas
    assert asked == {"one.example": 1, "two.example": 1}


def test_offline_addresses_count_and_names_don_t():
    offline = Reach(WORLD, None)
    assert len(ask(an_item("http://inside.example/a"), reach=offline).placements) == 2
    assert not ask(an_item("http://192.168.7.7/a"), reach=offline).placements


@dataclass(frozen=True)
class There:
    """A host whose commands run here."""

    def argv(self, command):
        return list(command)


def test_a_host_s_own_resolver_says_what_names_are():
    here = look_up(LocalHost(), ["localhost", "no-such-name.invalid"])
    there = look_up(There(), ["localhost", "no-such-name.invalid"])
    assert here.keys() == there.keys() == {"localhost"}
    assert set(here["localhost"]) & set(there["localhost"]) <= {"127.0.0.1", "::1"}
    assert LOOK_UP_SECONDS < 8


class Counted(Reach):
    """How often it was asked for each URL."""

    asked: Counter[str]

    def wrong_with(self, site, replica):
        self.asked[replica.url] += 1
        return super().wrong_with(site, replica)


def test_a_replica_is_looked_at_once():
    urls = [f"http://{host}/a.fits" for host in ("192.168.7.7", "192.168.7.8", "data.perth.example")]
    item = an_item(*urls)
    item = replace(item, parts=tuple(Part(10, 1, (one,)) for one in item.replicas))
    reach = Counted(WORLD, None)
    reach.asked = Counter()
    _, notes = usable_data(PERTH, make_request(data=[item]), reach)
    assert [note.level for note in notes] == [Level.INFO, Level.INFO, Level.ERROR, Level.ERROR]
    assert reach.asked == dict.fromkeys(urls, 1)


addresses = st.ip_addresses().map(lambda one: f"[{one}]" if one.version == 6 else str(one))
near = st.sampled_from(
    ["10.1.0.5", "10.2.0.5", "10.3.0.1", "127.0.0.1", "[::1]", "[::ffff:10.1.0.5]", "8.8.8.8"]
)


@given(addresses | near, st.integers(1, 65535), st.sampled_from([PERTH, LAUSANNE]))
def test_it_says_what_the_mover_would(host, port, site):
    wrong = Reach(WORLD, None).wrong_with(site, Replica(f"http://{host}:{port}/a", None))
    try:
        targets(host.strip("[]"), port, allowed_at(WORLD, site), socket.getaddrinfo)
        expected = None
    except ForbiddenError as problem:
        expected = str(problem)
    assert wrong == expected
