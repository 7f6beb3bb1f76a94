"""The picture of a calendar: rows that say what is taken, drawn so that it can be read."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from federation.errors import OutsideError
from reports.space_calendar import draw, rendered
from reports.space_page import page
from reports.space_rows import MOST_ROWS, rows
from reservations.calendar import Calendar, Host, Rules, Sight, Taken

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
END = NOW + 14 * DAY


def host(number, **more):
    return Host(str(number), f"node-{number}", {"VCPU": 8, "MEMORY_MB": 8192}, **more)


def calendar(hosts, taken, sight=Sight.ALL):
    return Calendar(
        "perth", "blazar", "virtual:instance", tuple(hosts), tuple(taken), Rules(), NOW, END, sight
    )


def taken(number, first, last, cores=None, **more):
    amounts = None if cores is None else {"VCPU": cores}
    return Taken(str(number), NOW + first * DAY, NOW + last * DAY, amounts, f"b{number}-{first}", **more)


def shape(row):
    return [
        ((bar.start - NOW) / DAY, (bar.end - NOW) / DAY, round(bar.bottom, 3), round(bar.top, 3))
        for bar in row.bars
    ]


def test_a_part_of_a_host_fills_a_part_of_its_row_and_a_whole_lease_all_of_it():
    half, whole = rows(calendar([host(1), host(2)], [taken(1, 0, 2, 4), taken(2, 1, 3)]), NOW, END)
    assert shape(half) == [(0, 2, 0, 0.5)]
    assert shape(whole) == [(1, 3, 0, 1)]


def test_parts_of_one_host_are_stacked_while_they_overlap():
    (row,) = rows(calendar([host(1)], [taken(1, 0, 4, 2), taken(1, 1, 3, 4)]), NOW, END)
    assert sorted(shape(row)) == [(0, 4, 0, 0.25), (1, 3, 0.25, 0.75)]


def test_a_row_is_never_more_than_full():
    (row,) = rows(calendar([host(1)], [taken(1, 0, 2, 8), taken(1, 1, 3, 8)]), NOW, END)
    assert max(bar.top for bar in row.bars) == 1


def test_what_lies_outside_is_cut():
    (row,) = rows(calendar([host(1)], [taken(1, -5, 2), taken(1, 13, 99), taken(1, -5, -1)]), NOW, END)
    assert shape(row) == [(0, 2, 0, 1), (13, 14, 0, 1)]


def test_hosts_are_in_the_order_that_people_count_in():
    named = rows(calendar([host(10), host(9), host(1)], []), NOW, END)
    assert [row.label for row in named] == ["node-1", "node-9", "node-10"]


def test_many_hosts_share_rows_and_a_row_says_how_many():
    found = rows(calendar([host(n) for n in range(1000)], [taken(1, 0, 2)]), NOW, END)
    assert len(found) <= MOST_ROWS
    assert sum(int(re.search(r"\((\d+)\)$", row.label)[1]) for row in found) == 1000
    ((_, _, _, top),) = shape(found[0])
    assert 0 < top < 0.1


def test_the_svg_says_whose_what_is_and_is_the_same_each_time():
    parts = [
        taken(1, 0, 6, name="calibration-7", holder="ska-low"),
        taken(2, 0, 6, name="mine", ours="ref"),
        taken(3, 0, 6, holder=None),
    ]
    shown = [calendar([host(1), host(2), host(3), host(4, bookable=False)], parts)]
    svg = rendered(shown, NOW, END, NOW, "svg")
    text = svg.decode()
    for words in ("calibration-7", "ska-low", "ours", "holder not shown", "can't be booked", "now"):
        assert words in text
    assert "24 cores" in text
    assert rendered(shown, NOW, END, NOW, "svg") == svg


def test_a_name_is_text_and_no_markup():
    parts = [taken(1, 0, 9, name="<script>$x$", holder="a & b")]
    document = page([calendar([host(1)], parts)], NOW, END, NOW, ["<b>"])
    assert "<script>" not in document
    assert "&lt;b&gt;" in document
    assert "http" not in re.sub(
        r'xmlns(:\w+)?="[^"]*"|href="#[^"]*"|<metadata>.*?</metadata>', "", document, flags=re.S
    )


def test_an_instant_is_at_the_same_place_in_all_calendars():
    long = Host("9", "a-host-with-a-rather-long-name", {"VCPU": 8, "MEMORY_MB": 8192})
    svg = rendered([calendar([host(1)], []), calendar([long], [])], NOW, END, NOW, "svg").decode()
    places = re.findall(r'<text[^>]*?transform="translate\(([\d.]+) [^>]*>now<', svg) or re.findall(
        r'<text[^>]*? x="([\d.]+)"[^>]*>now<', svg
    )
    assert len(places) == 2
    assert places[0] == places[1]


def test_in_a_page_the_picture_has_the_pages_colours_light_and_dark():
    document = page([calendar([host(1)], [taken(1, 0, 9, holder="a")])], NOW, END, NOW, [])
    svg = document[document.index("<svg") : document.index("</svg>")]
    used = set(re.findall(r"var\((--[a-z]+)\)", svg))
    assert {"--paper", "--ink", "--track", "--total"} <= used
    light, dark = document[document.index(":root") : document.index("</style>")].split("prefers-color-scheme")
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark
    # paper that stays white would blind in the dark
    assert not re.search("#ffffff|#1d1d26", svg)


def test_bookings_that_overlap_take_no_more_than_there_is():
    one = [calendar([host(1)], [taken(1, 0, 4)])]
    twice = [calendar([host(1)], [taken(1, 0, 4), taken(1, 1, 3)])]
    drawn = [total_of(rendered(shown, NOW, END, NOW, "svg").decode()) for shown in (one, twice)]
    assert drawn[0] == drawn[1]


def total_of(svg):
    """The outline of the filled area above the hosts."""
    return svg[: svg.index("#c8d9e8")].rpartition(' d="')[2].partition('"')[0]


def test_a_site_is_called_by_its_name():
    text = rendered([calendar([host(1)], [])], NOW, END, NOW, "svg", {"perth": "Perth <1>"}).decode()
    assert "Perth &lt;1&gt;: virtual:instance" in text


def test_a_calendar_that_hides_bookings_says_so():
    text = rendered([calendar([host(1)], [], Sight.OWN)], NOW, END, NOW, "svg").decode()
    assert "hides" in text


def test_nothing_at_all_is_still_a_picture(tmp_path):
    draw([calendar([], [])], NOW, END, NOW, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
    draw([], NOW, END, NOW, tmp_path / "none.svg")


def test_a_picture_that_cant_be_written_is_told(tmp_path):
    with pytest.raises(OutsideError, match=r"nowhere/x\.png"):
        draw([calendar([host(1)], [])], NOW, END, NOW, tmp_path / "nowhere" / "x.png")
