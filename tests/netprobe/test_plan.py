"""Plans: what a file becomes, and what is said of one that is wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from federation.errors import InputError
from federation.sites import Federation, Place, Site
from netprobe.plan import expand, load_plan, rounds

ROOT = Path(__file__).parents[2]
SITES = ("perth", "capetown", "manchester", "lausanne", "penticton")


def federation(*ids: str) -> Federation:
    sites = {one: Site(one, one, Place(0, 0), iperf3_address=f"192.0.2.{n}") for n, one in enumerate(ids)}
    return Federation("test", sites | {"dark": Site("dark", "Dark", Place(0, 0))})


def written(path: Path, text: str) -> Path:
    file = path / "plan.toml"
    file.write_text(text)
    return file


def test_the_labs_plan_measures_all_paths_round_trips_first() -> None:
    plan = load_plan(ROOT / "examples" / "lab-plan.toml")
    planned = expand(plan, federation(*SITES))
    found = rounds(planned, plan.parallel)
    assert [one.exclusive for one in found] == [False] + [True] * (len(found) - 1)
    wanted = set(itertools.permutations(SITES, 2))
    assert {(one.test.source.site, one.test.destination.site) for one in found[0].tests} == wanted
    loads = [
        (one.test.source.site, one.test.destination.site, one.repetition)
        for together in found[1:]
        for one in together.tests
    ]
    assert len(loads) == len(set(loads)) == 40
    # every pair once before any is measured twice
    assert [repetition for _, _, repetition in loads] == [0] * 20 + [1] * 20
    for together in found[1:]:
        hosts = [end.site for one in together.tests for end in (one.test.source, one.test.destination)]
        assert len(hosts) == len(set(hosts)) <= 4
    assert len(found) <= 1 + 2 * 11


def test_defaults_are_overruled_from_the_general_to_the_block(tmp_path: Path) -> None:
    text = """
    parallel = 3
    [defaults]
    tool = "iperf3"
    time_limit = "40 s"
    [defaults.iperf3]
    duration = "3 s"
    omit = 1
    [[star]]
    centre = "a"
    duration = 7
    [[pairs]]
    pairs = [["b", "c"]]
    tool = "ping"
    repeat = 2
    time_limit = 9
    """
    plan = load_plan(written(tmp_path, text))
    planned = expand(plan, federation("a", "b", "c"))
    ends = [(p.test.source.site, p.test.destination.site, p.tool.name, p.repetition) for p in planned]
    assert ends == [
        ("a", "b", "iperf3", 0),
        ("a", "c", "iperf3", 0),
        ("b", "a", "iperf3", 0),
        ("c", "a", "iperf3", 0),
        ("b", "c", "ping", 0),
        ("b", "c", "ping", 1),
    ]
    assert planned[0].test.parameters == {"duration": 7, "omit": 1}
    assert planned[-1].test.parameters == {}
    assert [one.test.time_limit_seconds for one in planned[-3:]] == [40, 9, 9]
    assert plan.parallel == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "plan.toml: expected at least one of [[mesh]], [[star]] and [[pairs]], got none"),
        ("mesh = 3", "plan.toml: mesh: expected tables [[mesh]], got 3"),
        ("[[mesh]\n", "plan.toml: not TOML:"),
        ("[[mesh]]\n", "plan.toml:1: [[mesh]] tool: expected the name of a tool"),
        ('\n[[mesh]]\ntool = "telnet"', "plan.toml:2: [[mesh]] no measuring tool is called 'telnet'"),
        (
            '[[mesh]]\ntool="ping"\n\n[[mesh]]\ntool = "iperf3"\nduration = "soon"',
            "plan.toml:4: [[mesh]] ",
        ),
        ('[[mesh]]\ntool="ping"\ncolour="red"', "[[mesh]] ping: unknown parameter 'colour'"),
        ('[[mesh]]\ntool="ping"\nrepeat=0', "[[mesh]] repeat: expected a whole number from 1 up, got 0"),
        ('[[mesh]]\ntool="ping"\ntime_limit="-"', "[[mesh]] time_limit: expected"),
        ('[[mesh]]\ntool="ping"\nsites=["a","a"]', "[[mesh]] sites: expected each site once"),
        ('[[mesh]]\ntool="ping"\nsites=[]', '[[mesh]] sites: expected "all" or a list of site ids, got []'),
        ('[[star]]\ntool="ping"', "[[star]] centre: expected the id of a site, got None"),
        ('[[star]]\ntool="ping"\ncentre="a"\ndirection="up"', "direction: expected one of both, out, in"),
        ('[[pairs]]\ntool="ping"\npairs=[["a"]]', '[[pairs]] pairs: expected a list such as [["perth"'),
        ("parallel = 0", "plan.toml: parallel: expected a whole number from 1 up, got 0"),
        ("color = 1", "plan.toml: unknown key 'color': expected one of bottleneck, budget"),
    ],
)
def test_a_wrong_plan_is_one_line_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_plan(written(tmp_path, text))
    assert said in str(caught.value)


WATCHED = """
[groups]
europe = ["b", "c"]
[calendars.nights]
zone = "Europe/Zurich"
hours = ["22:00-06:00"]
[defaults]
every = "6 h"
jitter = "10 min"
calendar = "nights"
[[bottleneck]]
sites = "europe"
tests = 1
[[budget]]
per = "site"
bytes_per_day = "50 GB"
share = 0.02
[[mesh]]
sites = ["a", "d", "europe"]
tool = "iperf3"
[[pairs]]
pairs = [["a", "b"]]
tool = "ping"
every = "5 min"
jitter = "20 s"
calendar = []
"""


def test_groups_calendars_budgets_and_how_often(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, WATCHED))
    mesh, pairs = plan.blocks
    assert mesh.sites == ("a", "d", "b", "c")
    assert (mesh.every_seconds, mesh.jitter_seconds, len(mesh.calendars)) == (21_600, 600, 1)
    assert (pairs.every_seconds, pairs.jitter_seconds, pairs.calendars) == (300, 20, ())
    (budget,) = plan.budgets
    assert (budget.per, budget.bytes_per_day, budget.share) == ("site", 50e9, 0.02)
    assert str(budget) == "50 GB in 24 h and 2 % of the link per site"


def test_what_shares_a_bottleneck_is_not_in_one_round(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, WATCHED))
    planned = expand(plan, federation("a", "b", "c", "d"))
    found = [one for one in rounds(planned, None, plan.bottlenecks) if one.exclusive]
    assert sum(len(one.tests) for one in found) == 12
    for together in found:
        ends = [{one.test.source.site, one.test.destination.site} for one in together.tests]
        assert sum(len(pair & {"b", "c"}) == 1 for pair in ends) <= 1
        assert len(set().union(*ends)) == 2 * len(ends)
    # eight tests cross the bottleneck one by one; the others share two rounds
    assert len(found) == 10


def test_the_key_of_a_test_stays_as_long_as_it_is_the_same_test(tmp_path: Path) -> None:
    sites = federation("a", "b", "c", "d")
    plan = load_plan(written(tmp_path, WATCHED))
    keys = [one.key for one in expand(plan, sites)]
    assert len(set(keys)) == len(keys)
    moved = load_plan(written(tmp_path, "# a remark\n" + WATCHED.replace("6 h", "7 h")))
    assert [one.key for one in expand(moved, sites)] == keys
    assert moved.key == plan.key
    other = load_plan(written(tmp_path, WATCHED.replace('"ping"', '"ping"\ncount = 3')))
    assert [one.key for one in expand(other, sites)][:-1] == keys[:-1]
    assert other.key != plan.key
    twice = load_plan(written(tmp_path, '[[pairs]]\ntool="ping"\npairs=[["a","b"],["a","b"]]'))
    first, second = expand(twice, sites)
    assert first.key != second.key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[mesh]]\ntool="ping"\nevery="soon"', "plan.toml:1: [[mesh]] every: "),
        (
            '[[mesh]]\ntool="ping"\njitter="1 s"',
            "[[mesh]] jitter: expected less than `every` (None), got '1 s'",
        ),
        (
            '[[mesh]]\ntool="ping"\nevery=9\njitter=9',
            "[[mesh]] jitter: expected less than `every` (9), got 9",
        ),
        (
            '[[mesh]]\ntool="ping"\ncalendar="x"',
            "[[mesh]] calendar: expected one of the tables [calendars.NAME]",
        ),
        (
            '[[mesh]]\ntool="ping"\nsites="x"',
            '[[mesh]] sites: expected "all", a group, or a list of site ids',
        ),
        ("[groups]\nx = []", "plan.toml:2: [groups] x: expected a list of site ids, got []"),
        (
            "[calendars.x]\nhours = ['25:00-26:00']",
            "plan.toml:1: [calendars.x] hours: expected a range such as",
        ),
        ("[calendars.x]\nweekdays = ['noday']", "[calendars.x] weekdays: expected a list of mon, tue"),
        (
            "[calendars.x]\nzone = 'Mars/Base'",
            '[calendars.x] zone: expected a time zone such as "Europe/Zurich"',
        ),
        ("[calendars.x]\nnot_during = ['now']", "[calendars.x] not_during: expected local times such as"),
        ("[calendars.x]\nwhen = 1", "[calendars.x]: unknown key 'when': expected one of hours, not_during"),
        (
            '[[mesh]]\ntool="ping"\n[[budget]]',
            "plan.toml:3: [[budget]]: expected bytes_per_day, share, or both",
        ),
        (
            '[[mesh]]\ntool="ping"\n[[budget]]\nshare=2',
            "[[budget]] share: expected a number above 0, at most 1",
        ),
        (
            '[[mesh]]\ntool="ping"\n[[bottleneck]]\nsites="all"',
            "[[bottleneck]] sites: expected some of the sites",
        ),
        (
            '[[mesh]]\ntool="ping"\n[[bottleneck]]\nsites=["a"]\ntests=0',
            "tests: expected a whole number from 1",
        ),
    ],
)
def test_a_wrong_word_on_when_and_how_much_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_plan(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ('sites=["a","z"]', "plan.toml:1: [[mesh]] no site is called 'z': expected one of a, b, dark"),
        ('sites=["a","dark"]', "[[mesh]] site 'dark' has no iperf3_address in the catalogue"),
    ],
)
def test_sites_that_the_federation_does_not_have(tmp_path: Path, block: str, said: str) -> None:
    plan = load_plan(written(tmp_path, f'[[mesh]]\ntool="ping"\n{block}'))
    with pytest.raises(InputError) as caught:
        expand(plan, federation("a", "b"))
    assert said in str(caught.value)


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: can't be read: No such file"):
        load_plan(tmp_path / "none.toml")
