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
        ("color = 1", "plan.toml: unknown key 'color': expected one of defaults, mesh"),
    ],
)
def test_a_wrong_plan_is_one_line_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_plan(written(tmp_path, text))
    assert said in str(caught.value)


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
