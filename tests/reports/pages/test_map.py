"""The map: where things stand in it, for any sites, and what it says of the paths."""

import math
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.sites import Federation, Place, Site
from reports.matrix import Cell, State
from reports.pages.atlas import Point, land, northing, view_of
from reports.pages.map import MOST, pictures
from reports.pages.map_layout import NARROW, WIDE, Name, laid_out, spread
from reports.pages.mesh_cells import Shown
from tests.reports.pages.serving import ADA

PLACES = st.builds(Place, st.floats(-90, 90), st.floats(-180, 180))
SITES = st.lists(st.tuples(st.text("abcdefgh ", min_size=2, max_size=16), PLACES), min_size=1, max_size=12)
PERTH, MANCHESTER, PENTICTON = Place(-31.95, 115.86), Place(53.5, -2.2), Place(49.5, -119.6)


def test_the_projection_is_the_published_one():
    # Patterson, Šavrič and Jenny (2015): on either side, the map is 1.790857 times the globe's radius high
    assert math.radians(northing(90)) == pytest.approx(1.790857, abs=1e-5)
    assert northing(0) == 0
    assert northing(-45) == -northing(45)


@given(st.lists(PLACES, min_size=1, max_size=20), st.sampled_from([WIDE, NARROW]))
def test_every_place_is_in_the_picture(places, size):
    view = view_of(places, size.width, size.flattest)
    assert view.width == size.width
    assert size.flattest * view.width - 0.1 <= view.height <= 0.78 * view.width + 0.1
    for place in places:
        point = view.point(place)
        assert -0.1 <= point.x <= view.width + 0.1
        assert -0.1 <= point.y <= view.height + 0.1


def test_the_map_is_cut_where_no_site_is_near():
    # Fiji and Samoa are neighbours, though the date line is between them
    view = view_of([Place(-18, 178), Place(-14, -171)], 960, 0.46)
    assert view.point(Place(-14, -171)).x > view.point(Place(-18, 178)).x
    assert view.width / view.scale < 30
    # Penticton is east of Perth by way of the Pacific, unless somebody is between them on the other side
    points = [view_of([PERTH, PENTICTON], 960, 0.46).point(place) for place in (PERTH, PENTICTON)]
    assert points[0].x < points[1].x
    points = [
        view_of([PERTH, MANCHESTER, PENTICTON], 960, 0.46).point(place)
        for place in (PERTH, MANCHESTER, PENTICTON)
    ]
    assert points[2].x < points[1].x < points[0].x


def test_the_land_is_small_and_closed():
    assert len(land()) < 40_000
    rings = land().split("M")[1:]
    assert all(ring.endswith("z") for ring in rings)
    # none jumps across the world: it would leave a line from one side to the other
    steps = [abs(int(x)) for ring in rings for x in re.findall(r"[l ](-?\d+)[,-]", ring)]
    assert max(steps) <= 3600
    assert sum(step > 600 for step in steps) <= 1  # the edge of Antarctica


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(100, 860), st.floats(100, 340)), min_size=2, max_size=14))
def test_sites_are_spread_so_that_each_can_be_told(points):
    found = spread([Point(x, y) for x, y in points], lambda one, other: 30, 960, 440, 10)
    for one, other in combinations(found, 2):
        assert one.distance(other) > 29
    for point in found:
        assert 10 <= point.x <= 950
        assert 10 <= point.y <= 430


def test_sites_with_room_stay_where_they_are():
    points = [Point(100, 100), Point(200, 100), Point(150, 300)]
    assert spread(points, lambda one, other: 40, 960, 440, 10) == points


@settings(max_examples=40)
@given(SITES, st.sampled_from([WIDE, NARROW]))
def test_every_site_has_a_mark_and_a_name_or_is_counted(sites, size):
    found = laid_out(tuple(sites), size)
    counted = {number for numbers, _ in found.crowds for number in numbers}
    assert len(found.marks) == len(sites)
    assert {number for number, mark in enumerate(found.marks) if mark.name is None} == counted


def test_names_meet_neither_each_other_nor_a_site():
    places = [PERTH, MANCHESTER, PENTICTON, Place(46.5, 6.6), Place(-33.9, 18.4), Place(53.24, -2.31)]
    names = ("Perth", "Manchester", "Penticton", "Lausanne", "Cape Town", "Jodrell Bank")
    for size in (WIDE, NARROW):
        marks = laid_out(tuple(zip(names, places, strict=True)), size).marks
        for one, other in combinations(marks, 2):
            half = other.name.height / 2
            x, y = other.name.at.x, other.name.at.y
            assert one.name.overlap(x, y - half, x + other.name.width, y + half) == 0
            for mark, name in ((one, other.name), (other, one.name)):
                reach = (mark.at.x - 4, mark.at.y - 4, mark.at.x + 4, mark.at.y + 4)
                assert name.overlap(*reach) == 0
    # one of the two that are next to each other had to give way, and says where it is
    assert any(mark.true for mark in marks)


def test_a_name_is_held_at_its_site():
    name = Name(Point(100, 50), 40, 16, False)
    assert name.anchored(Point(90, 50)) == ("start", 100)
    assert name.anchored(Point(150, 50)) == ("end", 140)
    assert name.anchored(Point(110, 80)) == ("middle", 120)


def federation_of(places):
    return Federation("f", {f"s{n}": Site(f"s{n}", f"Site {n}", place) for n, place in enumerate(places)})


def shown_of(federation, state=State.MEASURED, error=None):
    def cell(source, destination):
        measured = state is State.MEASURED
        return Cell(
            source, destination, state, 1e6 if measured else None, 1, 0, 1.0 if measured else None, error
        )

    pairs = [(a, b) for a in federation.sites for b in federation.sites if a != b]
    return {pair: Shown(cell(*pair), "1 Mbit/s", 3 if state is State.MEASURED else None) for pair in pairs}


def test_both_directions_of_every_path_have_a_line_of_their_own():
    federation = federation_of([PERTH, MANCHESTER, PENTICTON])
    large, small = pictures(federation, shown_of(federation), None)
    for picture in (large, small):
        assert len({link.curve.line for link in picture.links}) == 6
        middles = [link.curve.middle for link in picture.links]
        assert min(one.distance(other) for one, other in combinations(middles, 2)) > 5


def test_what_was_never_tested_has_no_line_and_what_failed_is_painted_last():
    federation = federation_of([PERTH, MANCHESTER])
    assert all(not each.links for each in pictures(federation, shown_of(federation, State.MISSING), None))
    shown = shown_of(federation)
    shown["s0", "s1"] = shown_of(federation, State.FAILED, "refused")["s0", "s1"]
    large, _ = pictures(federation, shown, None)
    assert [link.shown.cell.source for link in large.links] == ["s1", "s0"]


def test_a_crowd_gets_a_closer_look_and_every_path_is_in_one_of_the_maps():
    europe = [Place(52 + n % 4, 4 + n) for n in range(10)]
    federation = federation_of([PERTH, PENTICTON, Place(-33.9, 18.4), *europe])
    shown = shown_of(federation)
    large = [each for each in pictures(federation, shown, None) if each.kind == "large"]
    assert [len(each.marks) for each in large] == [13, 10]
    assert large[0].crowds[0][0] == "10 sites, see below"
    assert not large[1].crowds
    drawn = [(link.shown.cell.source, link.shown.cell.destination) for each in large for link in each.links]
    assert sorted(drawn) == sorted(shown)
    assert len({each.id for each in pictures(federation, shown, None)}) == 4


def test_a_federation_in_one_city_is_no_crowd():
    federation = federation_of([Place(53.48, -2.24 + n / 1000) for n in range(9)])
    large, _ = pictures(federation, shown_of(federation), None)
    assert all(mark.name for _, mark in large.marks)


def test_of_too_many_paths_the_worst_are_drawn():
    federation = federation_of([Place(n % 60, 9 * n) for n in range(36)])
    shown = shown_of(federation)
    failing = shown_of(federation, error="refused")
    shown |= {pair: failing[pair] for pair in list(shown)[:50]}
    large = [each for each in pictures(federation, shown, None) if each.kind == "large"]
    drawn = [link.shown for each in large for link in each.links]
    assert len(shown) > MOST == len(drawn)
    assert sum(each.failing for each in drawn) == 50
    large = [each for each in pictures(federation, shown, "s7") if each.kind == "large"]
    assert sum(len(each.links) for each in large) == 70


def test_no_sites_no_map():
    assert pictures(Federation("none", {}), {}, None) == []


def links_of(html, kind="large"):
    svg = re.search(rf'<div class="picture map {kind}">(<svg.*?</svg>)', html, re.DOTALL)[1]
    tree = ElementTree.fromstring(svg)
    assert tree.find("title") is not None
    assert "paths measured" in tree.find("desc").text
    return {link.get("href"): link for link in tree.iter("a")}


def test_a_link_of_the_map_says_what_was_measured_and_leads_to_its_path(client):
    links = links_of(client.get("/pages", auth=ADA).text)
    alpha_beta = links["/pages/paths/alpha/beta"]
    assert alpha_beta.find("title").text == "Alpha <b> to Beta: 92 Mbit/s, 2 min ago"
    assert alpha_beta.get("class").split() == ["link", "s3"]
    assert links["/pages/paths/beta/alpha"].get("class").split() == ["link", "s1", "old"]
    assert links["/pages/paths/alpha/gamma"].get("class").split() == ["link", "none"]
    for path, crossed in (("alpha/beta", 0), ("gamma/alpha", 1), ("alpha/gamma", 1)):
        crosses = [
            each for each in links[f"/pages/paths/{path}"].iter("path") if each.get("class") == "cross"
        ]
        assert len(crosses) == crossed, path
    assert "/pages/paths/gamma/beta" not in links


def test_a_site_of_the_map_shows_its_paths_alone(client):
    assert "/pages?site=beta" in links_of(client.get("/pages", auth=ADA).text)
    html = client.get("/pages?site=beta&kind=round-trip", auth=ADA).text
    links = links_of(html, "small")
    assert {path for path in links if "/paths/" in path} == {"/pages/paths/alpha/beta"}
    assert links["/pages?site=beta&kind=round-trip"].get("aria-current") == "true"
    assert "Paths from and to Beta" in html
    # the table stays whole
    assert 'href="/pages/paths/gamma/alpha"' in html
    assert client.get("/pages?site=nowhere", auth=ADA).status_code == 404
