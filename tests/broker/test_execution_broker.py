"""Another broker as a site's platform: ranked with the rest, accepted and followed through it."""

import asyncio

import pytest

from broker.model import Level, Phase
from broker.service import Broker
from fairlead.served import start
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.errors import InputError
from tests.broker.conftest import make_document, make_federation, make_site
from tests.broker.driving import ANN, ENDED, accept, held, is_in, notes, running, turn
from tests.broker.other_broker import other_broker
from tests.contracts.platform_support import make_platform
from tests.waiting import until

FAR = "lausanne"
# a busy machine answers late
PATIENT = {"request_seconds": 120.0}


@pytest.fixture
def other(clock):
    with other_broker(clock.now) as broker:
        yield broker


@pytest.fixture
def federation(other):
    far = make_site(FAR, 46.52, 6.63, kind="execution_broker", options={"url": other.url} | PATIENT)
    return make_federation(make_site("perth", -31.95, 115.86, price=0.3), far)


@pytest.fixture
def broker(settings, federation, engine, clock):
    return Broker(settings, federation, engine, clock, online=False)


def session_of(broker, uuid, other):
    return other.sessions[broker.session(uuid).placement.reference]


def test_its_offers_stand_among_the_others_with_our_cost_of_moving_the_data(broker, other):
    data = ("http://data.perth.example/a.fits",)
    answer = broker.request(make_document(data=data), ANN)
    sites = {session.placement.site_id: session for session in answer.sessions}
    assert set(sites) == {"perth", FAR}
    costs = {figure.type: figure for figure in sites[FAR].placement.costs}
    assert costs["urn:ivoa:calycopis:cost:monetary"].maximum == pytest.approx(0.05)
    assert costs["urn:fairlead:cost:transfer-bytes"].maximum > 0
    # it is asked for starts by which the data can be there
    first = other.requests[0]["schedule"]["requested"]["start"].partition("/")[0]
    assert first > f"{broker.session(sites['perth'].uuid).created:%Y-%m-%dT%H:%M:%SZ}"
    assert sites[FAR].expires <= sites["perth"].expires


def test_a_session_there_is_followed_to_its_end(broker, other, engine, clock):
    other.says = [{"level": "INFO", "message": "1 of 1"}]

    async def story():
        uuid = accept(broker, site=FAR)
        there = session_of(broker, uuid, other)
        async with running(broker):
            await turn(clock, lambda: there["phase"] == "ACCEPTED")
            for phase, ours in (("PREPARING", Phase.PREPARING), ("AVAILABLE", Phase.AVAILABLE)):
                other.move(there["meta"]["uuid"], phase)
                await turn(clock, is_in(broker, uuid, ours))
            message = {"level": "INFO", "template": "All {what} well", "values": {"what": "went"}}
            other.move(there["meta"]["uuid"], "COMPLETED", message)
            await turn(clock, is_in(broker, uuid, Phase.COMPLETED))
            await turn(clock, lambda: held(engine) == set())
        texts = [timed.note.text for timed in notes(broker, uuid, "broker-message")]
        assert texts == [f"{FAR}: its broker says: All went well"]
        # what it said of its offer is told with ours, and no second time
        offered = [note.text for note in broker.session(uuid).placement.notes]
        assert offered.count("its broker says: 1 of 1") == 1
        assert broker.session(uuid).outcome.ended is not None

    asyncio.run(story())


def test_its_failures_are_its_own(broker, other, engine, clock):
    async def story():
        failing, going = accept(broker, site=FAR), accept(broker, site="perth")
        there = session_of(broker, failing, other)
        message = {"level": "ERROR", "message": "the disk is on fire"}
        async with running(broker):
            await turn(clock, lambda: there["phase"] == "ACCEPTED")
            other.move(there["meta"]["uuid"], "FAILED", message)
            await turn(clock, is_in(broker, failing, Phase.FAILED))
            await turn(clock, is_in(broker, going, Phase.COMPLETED))
            await turn(clock, lambda: held(engine) == set())
        (note,) = notes(broker, failing, "failed")
        assert note.note.text == f"{FAR}: at its broker the session is FAILED"
        # what that broker said is told once, and not to everybody
        (why,) = [each for each in broker.session(failing).notes if "the disk is on fire" in each.note.text]
        assert (why.private, why.note.level) == (True, Level.ERROR)

    asyncio.run(story())


def test_cancelling_here_cancels_there(broker, other, engine, clock):
    async def story():
        uuid = accept(broker, site=FAR)
        there = session_of(broker, uuid, other)
        async with running(broker):
            await turn(clock, lambda: there["phase"] == "ACCEPTED")
            broker.update_phase(uuid, Phase.CANCELLED, ANN)
            await turn(clock, lambda: there["phase"] == "CANCELLED")
            await turn(clock, lambda: held(engine) == set())
        assert broker.session(uuid).phase is Phase.CANCELLED

    asyncio.run(story())


def test_an_offer_that_is_gone_there_fails_here(broker, other, clock):
    async def story():
        uuid = accept(broker, site=FAR)
        session_of(broker, uuid, other)["phase"] = "EXPIRED"
        async with running(broker):
            await turn(clock, is_in(broker, uuid, *ENDED))
        assert broker.session(uuid).phase is Phase.FAILED
        assert "left the offer EXPIRED" in notes(broker, uuid, "failed")[0].note.text

    asyncio.run(story())


@pytest.mark.parametrize(
    "fault", [(503, None), (500, b"<html>"), (429, None), (200, b"<html>no broker</html>"), (200, [])]
)
def test_a_broker_that_stumbles_is_asked_again(broker, other, clock, fault):
    async def story():
        uuid = accept(broker, site=FAR)
        there = session_of(broker, uuid, other)
        other.faults["POST"] += [fault, fault]
        async with running(broker):
            await turn(clock, lambda: there["phase"] == "ACCEPTED")
            other.faults["GET"] += [fault, fault]
            await turn(clock, lambda: not other.faults["GET"])
            other.move(there["meta"]["uuid"], "COMPLETED")
            await turn(clock, is_in(broker, uuid, *ENDED))
        assert broker.session(uuid).phase is Phase.COMPLETED

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ((503, None), "fails with status 503"),
        ((401, None), "doesn't take our credentials"),
        ((400, {"error": "what is this?"}), "refuses with status 400: what is this?"),
        ((200, b"\xff\xfe"), "something else than a JSON object"),
        ((200, {"result": "YES", "offers": [{"meta": {"uuid": "a"}}]}), "neither when it starts nor"),
        ((200, {"result": "YES", "offers": [7, {"meta": {"uuid": "../x"}}]}), "it has no uuid"),
        ((200, {"result": "YES"}), "has no offer, and doesn't say why"),
    ],
)
def test_what_it_says_amiss_is_told_and_the_other_sites_offer(broker, other, fault, words):
    other.faults["POST"].append(fault)
    answer = broker.request(make_document(), ANN)
    assert [session.placement.site_id for session in answer.sessions] == ["perth"]
    told = [note for note in answer.notes if note.values.get("site") == FAR]
    assert any(words in note.text for note in told)
    assert all(note.level is not Level.ERROR for note in told)


def test_its_no_is_passed_on_with_its_reasons(broker, other):
    other.refuse = {"level": "WARN", "template": "no room for ${cores}", "values": {"cores": "1 core"}}
    answer = broker.request(make_document(cores=(1, 1)), ANN)
    assert any(f"{FAR}: its broker says: no room for 1 core" in note.text for note in answer.notes)


def test_credentials_are_read_for_each_request_and_never_told(other, tmp_path, settings, engine, clock):
    secret = tmp_path / "token"
    options = {"url": other.url, "token_file": str(secret)} | PATIENT
    far = make_site(FAR, 46.52, 6.63, kind="execution_broker", options=options)
    broker = Broker(settings, make_federation(far), engine, clock, online=False)
    answer = broker.request(make_document(), ANN)
    assert any("credentials for its broker can't be read" in note.text for note in answer.notes)
    for token in ("one", "two"):
        secret.write_text(f"{token}\n")
        assert broker.request(make_document(), ANN).yes
        assert other.authorization == f"Bearer {token}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "option 'url': expected the URL of a broker, got ''"),
        ({"url": "ftp://x"}, "expected the URL of a broker"),
        ({"url": "http://x", "user": "a"}, "'user' and 'password_file' together"),
        ({"url": "http://x", "user": "a", "password_file": "p", "token_file": "t"}, "either 'user' or 'token_file'"),  # noqa: E501
    ],
)  # fmt: skip
def test_options_that_are_wrong(tmp_path, options, words):
    with pytest.raises(InputError, match=r"site 'here'") as caught:
        make_platform("execution_broker", tmp_path, options)
    assert words in str(caught.value)


def test_a_fairlead_behind_a_fairlead(settings, tmp_path):
    """The real thing: a broker of its own process, with five simulated sites, as one site of ours."""

    async def story():
        served = start(["--simulated"], tmp_path / "served.log")
        password = tmp_path / "password"
        password.write_text(served.password)
        options = {"url": served.url, "user": served.user, "password_file": str(password)} | PATIENT
        far = make_site(FAR, 46.52, 6.63, kind="execution_broker", options=options)
        engine = connect(f"sqlite:///{tmp_path / 'upper.db'}")
        upgrade(engine)
        try:
            broker = Broker(settings, make_federation(far), engine, SystemClock(), online=False)
            answer = broker.request(make_document(cores=(2, 4)), ANN)
            assert answer.yes, [note.text for note in answer.notes]
            assert all(session.placement.cores == 4 for session in answer.sessions)
            uuid = broker.update_phase(answer.sessions[0].uuid, Phase.ACCEPTED, ANN).uuid
            async with running(broker):
                has_ended = is_in(broker, uuid, *ENDED)
                await asyncio.to_thread(until, has_ended, "its end", lambda: broker.session(uuid), 300)
            ended = broker.session(uuid)
            assert ended.phase is Phase.COMPLETED
            assert ended.outcome.exit_code == 0
            assert ended.outcome.stdout.startswith("simulated: example.org/checksum:1 on 4 cores")
            document = make_document()
            document["executable"]["network"] = {"ports": [{"internal": {"port": 1234}}]}
            refused = broker.request(document, ANN)
            assert not refused.yes
            said = [note.text for note in refused.notes if note.text.startswith(f"{FAR}: its broker says: ")]
            assert any("1234" in text for text in said)
        finally:
            engine.dispose()
            served.stop()

    asyncio.run(story())
