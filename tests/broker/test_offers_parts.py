"""Data that no site has all of comes in parts: each from where it lies, all together priced as one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.model import Part, Replica
from broker.offers import price
from broker.offers.rank import MOVES_IN_FULL
from broker.sessions.codec import dump_request, load_request
from federation.sites import Policy
from federation.units import format_size
from netprobe.cost import grouped, together
from tests.broker.conftest import make_data, make_federation, make_request, make_site
from tests.broker.offering import ask, figure

GIB = 2**30
PERTH = Replica("https://perth.example/ska/#sky:survey", "perth")
PENTICTON = Replica("https://penticton.example/ska/#sky:survey", "penticton")
HERE = Replica("https://lausanne.example/ska/#sky:survey", "lausanne")


def survey(*parts):
    replicas = tuple(dict.fromkeys(one for part in parts for one in part.replicas))
    return replace(
        make_data("perth", size_bytes=sum(part.size_bytes for part in parts)),
        replicas=replicas,
        files=sum(part.files for part in parts),
        unpacked=True,
        parts=parts,
    )


def placed(*parts, policy=None):
    site = make_site("lausanne", 46.52, 6.63)
    federation = make_federation(replace(site, policy=policy or Policy()))
    item = survey(*parts)
    return item, ask(federation, make_request(data=[item]))


def test_each_part_comes_from_its_fastest_replica_and_what_is_there_stays():
    item, answer = placed(
        Part(4 * GIB, 400, (PERTH, PENTICTON)), Part(GIB, 100, (PENTICTON,)), Part(2 * GIB, 9, (PERTH, HERE))
    )
    (placement,) = answer.placements
    moves = placement.staging.moves
    assert [(move.source, move.files, move.size_bytes) for move in moves] == [
        ("perth", 400, 4 * GIB),
        ("penticton", 100, GIB),
        ("lausanne", 9, 2 * GIB),
    ]
    costs = placement.component_costs[item.uuid]
    assert figure(costs, price.TRANSFER_BYTES).maximum == 5 * GIB
    assert figure(placement.costs, price.TRANSFER_BYTES).maximum == 5 * GIB
    seconds = together(grouped(moves))
    whole = figure(costs, price.TRANSFER_SECONDS)
    assert (whole.minimum, whole.maximum) == (seconds.p10, seconds.p90)
    # the slowest path that is used
    rate = figure(placement.component_metrics[item.uuid], price.PATH_THROUGHPUT)
    assert rate.minimum == pytest.approx(0.8 * 5e6)


@pytest.mark.parametrize(("left", "said"), [(1, "And 1 more file, "), (2, "And 2 more files, ")])
def test_moves_beyond_those_in_full_are_summed_up(left, said):
    parts = [Part(GIB, 1, (PERTH,))] * (MOVES_IN_FULL + left)
    (placement,) = placed(*parts)[1].placements
    rest = [note.text for note in placement.notes if note.text.startswith("And ")]
    assert rest == [f"{said}together {format_size(left * GIB)}, from perth"]


def test_a_part_whose_only_place_is_denied_is_a_no():
    denied = Policy(denied_data=("penticton.example",))
    _, answer = placed(Part(GIB, 10, (PERTH, PENTICTON)), Part(GIB, 7, (PENTICTON,)), policy=denied)
    assert not answer.placements
    assert "denies where 7 files of" in " ".join(note.text for note in answer.notes)


def test_a_part_that_has_another_place_takes_that():
    denied = Policy(denied_data=("perth.example",))
    _, answer = placed(Part(GIB, 10, (PERTH, PENTICTON)), Part(GIB, 7, (PENTICTON,)), policy=denied)
    (placement,) = answer.placements
    assert {move.source for move in placement.staging.moves} == {"penticton"}


def test_parts_are_kept_with_the_request():
    request = make_request(data=[survey(Part(GIB, 10, (PERTH,)), Part(GIB, 7, (PENTICTON,)))])
    assert load_request(dump_request(request)) == request
