"""What was last seen of a cloud: as old as it is, never wrong."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from federation.clock import ManualClock
from federation.errors import OutsideError
from federation.sites import Space
from reservations.calendar import Calendar, Host, Rules, Taken
from reservations.snapshots import Snapshots
from reservations.sources import Placed

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Cloud:
    """A source that counts how often it is asked, and can be down."""

    def __init__(self, site="perth"):
        self.site, self.asked, self.down = site, [], False

    def calendars(self, start, end):
        self.asked.append((start, end))
        if self.down:
            raise OutsideError("connection refused")
        host = Host("h1", "node-1", {"VCPU": 8}, {"gpu": "True"}, {"VCPU": 4})
        taken = Taken(
            "h1", start, start + timedelta(hours=len(self.asked)), {"VCPU": 2}, "b", "imaging", "ska"
        )
        rules = Rules(gap=timedelta(minutes=1), longest=timedelta(days=3))
        return [Calendar(self.site, "cloud", "parts", (host,), (taken,), rules, start, end)]


def snapshots(cloud, clock, directory=None, **options):
    return Snapshots([Placed(cloud.site, Space("cloud", options), cloud)], clock, directory)


def test_a_young_answer_is_not_asked_for_again():
    cloud, clock = Cloud(), ManualClock(NOW)
    kept = snapshots(cloud, clock)
    first = kept.known(["perth"], NOW + timedelta(days=1))
    clock.advance(29)
    assert kept.known(["perth"], NOW + timedelta(days=1)) == first
    assert len(cloud.asked) == 1
    clock.advance(2)
    kept.known(["perth"], NOW + timedelta(days=1))
    assert len(cloud.asked) == 2


def test_a_question_that_reaches_further_is_asked_at_once():
    cloud, clock = Cloud(), ManualClock(NOW)
    kept = snapshots(cloud, clock)
    kept.known(["perth"], NOW + timedelta(days=1))
    kept.known(["perth"], NOW + timedelta(days=400))
    assert [end for _, end in cloud.asked][1] >= NOW + timedelta(days=400)


def test_a_source_that_is_down_leaves_what_it_said_and_says_how_old_it_is():
    cloud, clock = Cloud(), ManualClock(NOW)
    kept = snapshots(cloud, clock)
    (before,) = kept.known(["perth"], NOW)
    cloud.down = True
    clock.advance(3600)
    (after,) = kept.known(["perth"], NOW)
    assert after.calendars == before.calendars
    assert after.calendars[0].known_at == NOW
    (remark,) = after.remarks
    assert "connection refused" in remark
    assert "1 h ago" in remark
    cloud.down = False
    clock.advance(60)
    (again,) = kept.known(["perth"], NOW)
    assert again.remarks == ()
    assert again.calendars[0].known_at == NOW + timedelta(seconds=3660)


def test_a_source_that_is_down_is_not_asked_by_every_question():
    cloud, clock = Cloud(), ManualClock(NOW)
    cloud.down = True
    kept = snapshots(cloud, clock)
    for _ in range(5):
        (known,) = kept.known(["perth"], NOW)
        assert "nothing is known of it" in known.remarks[0]
        assert known.calendars == ()
    assert len(cloud.asked) == 1


def test_the_next_process_knows_what_this_one_saw(tmp_path):
    clock = ManualClock(NOW)
    (before,) = snapshots(Cloud(), clock, tmp_path / "space").known(["perth"], NOW)
    down = Cloud()
    down.down = True
    clock.advance(120)
    (after,) = snapshots(down, clock, tmp_path / "space").known(["perth"], NOW)
    assert after.calendars == before.calendars
    assert "2 min ago" in after.remarks[0]
    (file,) = (tmp_path / "space").iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_other_options_are_another_source(tmp_path):
    clock, down = ManualClock(NOW), Cloud()
    snapshots(Cloud(), clock, tmp_path, name="one").known(["perth"], NOW)
    down.down = True
    (known,) = snapshots(down, clock, tmp_path, name="two").known(["perth"], NOW)
    assert known.calendars == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"asked": "x"}', '{"asked": "2026-12-01", "calendars": [{}]}']
)
def test_a_file_that_cant_be_read_is_as_if_it_werent_there(tmp_path, text):
    clock, cloud = ManualClock(NOW), Cloud()
    snapshots(cloud, clock, tmp_path).known(["perth"], NOW)
    (file,) = tmp_path.iterdir()
    file.write_text(text)
    (known,) = snapshots(cloud, clock, tmp_path).known(["perth"], NOW)
    assert len(known.calendars) == 1
    assert len(cloud.asked) == 2


def test_a_directory_that_cant_be_written_costs_memory_alone(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    (known,) = snapshots(Cloud(), ManualClock(NOW), blocked / "space").known(["perth"], NOW)
    assert len(known.calendars) == 1


def held_up(cloud):
    """Two events: the cloud is being asked, and it may answer."""
    inside, go = threading.Event(), threading.Event()
    answer = cloud.calendars

    def slow(start, end):
        inside.set()
        assert go.wait(60)
        return answer(start, end)

    cloud.calendars = slow
    return inside, go


def test_threads_that_ask_at_once_ask_the_cloud_once():
    clock, cloud = ManualClock(NOW), Cloud()
    inside, go = held_up(cloud)
    kept = snapshots(cloud, clock)
    threads = [threading.Thread(target=kept.known, args=(["perth"], NOW)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert inside.wait(60)
    go.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(cloud.asked) == 1


@pytest.mark.parametrize("down", [False, True])
def test_who_waits_for_a_slow_answer_has_it_and_does_not_ask_again(down):
    clock, cloud = ManualClock(NOW), Cloud()
    cloud.down = down
    inside, go = held_up(cloud)
    kept = snapshots(cloud, clock)
    threads = [threading.Thread(target=kept.known, args=(["perth"], NOW)) for _ in range(4)]
    threads[0].start()
    assert inside.wait(60)
    # longer than an answer counts as young
    clock.advance(75)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(cloud.asked) == 1


def test_what_we_changed_ourselves_is_asked_for_again(tmp_path):
    clock, cloud = ManualClock(NOW), Cloud()
    kept = snapshots(cloud, clock, tmp_path)
    kept.known(["perth"], NOW)
    kept.forget("perth")
    assert list(tmp_path.iterdir()) == []
    kept.known(["perth"], NOW)
    assert len(cloud.asked) == 2
