"""The audit log: nothing is lost that was recorded, nobody waits for it, and it can be read."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

import federation
from broker import audit
from broker.audit import AuditLog, Entry, Filters, read
from broker.tables import audit as table
from fairlead.served import start
from federation.database import connect
from tests.broker.conftest import NOW
from tests.waiting import until

YEAR = timedelta(days=365)
SIMULATED = Path(federation.__file__).parent / "data" / "simulated.toml"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """However long the database takes on a busy machine, it is waited for."""
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 60)


@pytest.fixture
def log(engine, clock, patient):
    log = AuditLog(engine, clock, YEAR)
    yield log
    log.stop()


def entry(number, **more):
    given = {"time": NOW + timedelta(seconds=number), "action": "request.create", "status": 303}
    return Entry(**given | {"request_id": str(number)} | more)


@pytest.fixture
def refusing(engine):
    """A switch: while it is set, the database takes no audit rows."""
    switch = threading.Event()

    @event.listens_for(engine, "before_cursor_execute")
    def refuse(connection, cursor, statement, parameters, context, executemany):
        if switch.is_set() and statement.startswith("INSERT INTO audit"):
            raise OperationalError(statement, None, Exception("the disk is full"))

    return switch


def test_what_is_recorded_is_read_the_newest_first(log, engine):
    entries = [entry(number, actor="a", username="ada", target="t", address="::1") for number in range(3)]
    for each in entries:
        log.record(each)
    assert log.flush()
    assert [each for _, each in read(engine, Filters())] == entries[::-1]


def test_filters_and_pages(log, engine):
    for number in range(10):
        log.record(entry(number, action="ab"[number % 2], actor=str(number % 3), target=str(number % 5)))
    assert log.flush()

    def numbers(filters, **more):
        return [int(each.request_id) for _, each in read(engine, filters, **more)]

    assert numbers(Filters(action="a")) == [8, 6, 4, 2, 0]
    assert numbers(Filters(action="a", actor="0")) == [6, 0]
    assert numbers(Filters(target="4")) == [9, 4]
    assert numbers(Filters(request_id="7")) == [7]
    assert numbers(Filters(username="ada")) == []
    assert numbers(Filters(since=NOW + timedelta(seconds=3), until=NOW + timedelta(seconds=6))) == [5, 4, 3]
    seen, before = [], None
    while page := read(engine, Filters(), before, limit=3):
        seen += [int(each.request_id) for _, each in page]
        before = page[-1][0]
    assert seen == list(range(9, -1, -1))


def test_a_clean_stop_loses_nothing_and_many_entries_are_few_transactions(engine, clock, monkeypatch):
    # the writer waits for more until it is told to stop
    monkeypatch.setattr(audit, "BATCH_SECONDS", 60)
    log = AuditLog(engine, clock, YEAR)
    commits = []
    event.listen(engine, "commit", lambda connection: commits.append(1))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log.record, [entry(number) for number in range(500)]))
    log.stop()
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 500
    assert len(commits) < 50


def test_nobody_waits_while_the_database_takes_nothing_and_it_is_written_in_the_end(
    log, engine, refusing, monkeypatch, caplog
):
    monkeypatch.setattr(audit, "TRY_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 0.2)
    refusing.set()
    # else this would never end
    for number in range(50):
        log.record(entry(number))
    assert not log.flush()
    until(lambda: "can't be written" in caplog.text, "a failure that is told")
    refusing.clear()
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 60)
    assert log.flush()
    assert [int(each.request_id) for _, each in read(engine, Filters())] == list(range(49, -1, -1))


def test_what_can_not_be_written_at_the_end_goes_to_the_log(engine, clock, refusing, caplog):
    log = AuditLog(engine, clock, YEAR)
    refusing.set()
    log.record(entry(7, username="ada"))
    log.stop()
    assert "request_id='7'" in caplog.text
    # as does what comes when nobody writes any more
    log.record(entry(8))
    log.stop()
    assert "request_id='8'" in caplog.text


def test_memory_is_bounded(log, refusing, monkeypatch, caplog):
    monkeypatch.setattr(audit, "MOST_WAITING", 5)
    # none of them is with the writer meanwhile
    monkeypatch.setattr(audit, "BATCH_SECONDS", 60)
    refusing.set()
    for number in range(20):
        log.record(entry(number))
    assert "request_id='0'" in caplog.text
    refusing.clear()


def test_old_entries_are_removed(log, engine, clock):
    log.record(entry(0))
    assert log.flush()
    clock.advance(YEAR.total_seconds() + 1)
    log.record(entry(YEAR.total_seconds()))
    assert log.flush()
    assert len(read(engine, Filters())) == 1


def test_whatever_somebody_sends_is_kept_as_far_as_it_can_be(log, engine):
    log.record(entry(1, username="a\0b\ud800" + "c" * 999, target="t" * 999, action="POST " + "/x" * 99))
    assert log.flush()
    ((_, kept),) = read(engine, Filters())
    assert kept.username == "a?b?" + "c" * 251
    assert (len(kept.target), len(kept.action)) == (255, 64)


def test_a_server_that_is_stopped_has_written_everything(tmp_path):
    database = tmp_path / "fairlead.db"
    settings = {"FAIRLEAD_DATABASE_URL": f"sqlite:///{database}", "FAIRLEAD_REQUESTS_PER_MINUTE": "0"}
    settings["FAIRLEAD_WORK_DIRECTORY"] = str(tmp_path / "work")
    served = start(["--catalogue", str(SIMULATED)], tmp_path / "server.log", settings)
    try:
        with httpx.Client(
            base_url=served.url, auth=(served.user, served.password), trust_env=False, timeout=60
        ) as client:
            for number in range(30):
                client.post("/requests", json={}, headers={"X-Request-Id": f"n{number}"})
        served.process.terminate()
        served.process.wait(60)
    finally:
        served.stop()
    engine = connect(f"sqlite:///{database}")
    kept = {each.request_id for _, each in read(engine, Filters(action="request.create"))}
    engine.dispose()
    assert kept == {f"n{number}" for number in range(30)}
