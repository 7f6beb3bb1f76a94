"""Hosts and bookings that an operator writes down."""

# What users get stands here in one line, as they get it.
# ruff: noqa: E501

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.clock import ManualClock
from federation.errors import InputError
from federation.sites import Place, Site, Space
from reservations.calendar import Rules, Taken
from reservations.sources import load_source
from reservations.sources.static_hosts import Repeated

DAY = datetime(2026, 12, 1, tzinfo=UTC)
DAYS = timedelta(days=1)
GPU = {"name": "gpu", "count": 2, "cores": 64, "memory": "512 GiB", "disk": "2 TiB", "gpus": 4}
LARGE = {"name": "large", "cores": 96, "memory": "1 TiB", "properties": {"zone": "az1"}, "bookable": False}
SITE = Site("perth", "Perth", Place(-31.95, 115.86))


def calendar(options, start=DAY, end=DAY + timedelta(days=2)):
    source = load_source(SITE, Space("static", options), ManualClock(DAY))
    (found,) = source.calendars(start, end)
    return found


def test_hosts_are_tables_and_a_count_numbers_them():
    found = calendar({"hosts": [GPU, LARGE], "longest": "7d", "furthest": "90d", "step": "1h"})
    assert [host.id for host in found.hosts] == ["gpu-1", "gpu-2", "large"]
    gpu, _, large = found.hosts
    assert gpu.amounts == {"VCPU": 64, "MEMORY_MB": 512 * 1024, "DISK_GB": 2048, "PGPU": 4}
    assert (large.properties, large.bookable) == ({"zone": "az1"}, False)
    assert found.rules == Rules(timedelta(hours=1), longest=timedelta(days=7), furthest=timedelta(days=90))


def test_a_booking_takes_one_host_or_all_and_a_part_or_the_whole():
    part = {"start": DAY, "end": DAY + timedelta(hours=1), "host": "gpu-2", "cores": 16, "memory": "64 GiB"}
    everything = {"start": DAY + timedelta(days=1), "name": "moving house", "holder": "operations"}
    found = calendar({"hosts": [GPU], "bookings": [part, everything]})
    amounts = {"VCPU": 16, "MEMORY_MB": 64 * 1024, "DISK_GB": 0, "PGPU": 0}
    assert found.taken[0] == Taken("gpu-2", DAY, DAY + timedelta(hours=1), amounts, "operator-0")
    assert [(each.host, each.end, each.amounts, each.booking) for each in found.taken[1:]] == [
        ("gpu-1", None, None, "operator-1"),
        ("gpu-2", None, None, "operator-1"),
    ]
    assert (found.taken[1].name, found.taken[1].holder) == ("moving house", "operations")
    later = calendar({"hosts": [GPU], "bookings": [part]}, DAY + timedelta(hours=1))
    assert later.taken == ()


def test_a_booking_that_comes_again_is_there_each_time():
    hour = timedelta(hours=1)
    nightly = {
        "start": DAY - 30 * DAYS + 20 * hour,
        "end": DAY - 30 * DAYS + 32 * hour,
        "every": "1d",
        "host": "gpu-1",
    }
    found = calendar({"hosts": [GPU], "bookings": [nightly]})
    assert [(taken.start - DAY, taken.end - DAY) for taken in found.taken] == [
        (-4 * hour, 8 * hour),
        (20 * hour, 32 * hour),
        (44 * hour, 56 * hour),
    ]
    assert len({taken.booking for taken in found.taken}) == 3


@given(
    first=st.integers(-200, 200),
    length=st.integers(1, 20),
    every=st.integers(0, 30),
    start=st.integers(-100, 100),
    span=st.integers(1, 100),
)
def test_what_comes_again_is_what_counting_says(first, length, every, start, span):
    hour = timedelta(hours=1)
    taken = Taken("h", DAY + first * hour, DAY + (first + length) * hour, None, "b")
    found = Repeated(taken, (length + every) * hour).within(DAY + start * hour, DAY + (start + span) * hour)
    times = (first + number * (length + every) for number in range(500))
    expected = [at for at in times if at < start + span and at + length > start]
    assert [(one.start - DAY) / hour for one in found] == expected


def test_a_file_is_read_anew_each_time(tmp_path):
    file = tmp_path / "hosts.toml"
    file.write_text('[[hosts]]\nname = "a"\ncores = 2\nmemory = "4 GiB"\n')
    source = load_source(SITE, Space("static", {"file": str(file)}), ManualClock(DAY))
    (before,) = source.calendars(DAY, DAY + timedelta(days=1))
    file.write_text(file.read_text() + "[[bookings]]\nstart = 2026-12-01T00:00:00+02:00\n")
    (after,) = source.calendars(DAY, DAY + timedelta(days=1))
    assert (before.hosts, before.taken) == (after.hosts, ())
    assert after.taken == (Taken("a", DAY - timedelta(hours=2), None, None, "operator-0"),)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hosts": []}, r"options\].hosts: expected at least one host, got none"),
        ({"bookings": []}, r"options\].hosts: expected at least one host, got none"),
        ({"hosts": "gpu"}, r"hosts: expected a list of tables, got 'gpu'"),
        ({"hosts": [{"name": "a", "memory": "1 GiB"}]}, r"hosts\[0\].cores: .* of at least 1, but it is missing"),
        ({"hosts": [{**GPU, "memory": 512}]}, r"hosts\[0\].memory: expected a size such as \"256 GiB\", got 512"),
        ({"hosts": [{**GPU, "count": 0}]}, r"hosts\[0\].count: expected a whole number of at least 1, got 0"),
        ({"hosts": [{**GPU, "count": 10**6}]}, r"hosts\[0\].count: expected at most 100000 hosts"),
        ({"hosts": [GPU, GPU]}, r"hosts\[1\].name: expected a name of one host alone, got 'gpu-1' again"),
        ({"hosts": [{**GPU, "ram": 1}]}, r"hosts\[0\]: unknown ram: expected name, count, cores"),
        ({"hosts": [{**GPU, "properties": ["gpu"]}]}, r"properties: expected a table of texts"),
        ({"hosts": [GPU], "bookings": [{"start": DAY, "host": "x"}]}, r"host: expected one of gpu-1, gpu-2, got 'x'"),
        ({"hosts": [GPU], "bookings": [{"end": DAY}]}, r"bookings\[0\].start: expected an instant"),
        ({"hosts": [GPU], "bookings": [{"start": DAY, "end": DAY}]}, r"bookings\[0\]: expected an end after"),
        ({"hosts": [GPU], "longest": "soon"}, r"longest: expected a duration"),
        ({"file": "hosts.toml"}, r"file: expected a path that begins with"),
        ({"file": "/nowhere/hosts.toml"}, r"/nowhere/hosts.toml: the file of hosts can't be read"),
        ({"file": "/nowhere", "hosts": [GPU]}, r"can't be read|expected either file or hosts"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_table_and_key(options, expected):
    with pytest.raises(InputError, match=expected) as caught:
        calendar(options)
    assert "\n" not in str(caught.value)


def test_a_file_and_tables_beside_it_are_one_too_many(tmp_path):
    file = tmp_path / "hosts.toml"
    file.write_text('[[hosts]]\nname = "a"\ncores = 2\nmemory = "4 GiB"\n')
    with pytest.raises(InputError, match="expected either file or hosts, got both"):
        calendar({"file": str(file), "hosts": [GPU]})
    file.write_text('[[hosts]]\nname = "a"\ncores = "2"\n')
    with pytest.raises(InputError, match=rf"{file}\.hosts\[0\]\.cores: expected a whole number"):
        calendar({"file": str(file)})
