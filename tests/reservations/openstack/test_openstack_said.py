"""Recorded refusals of a real cloud, each understood."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from reservations.openstack import said
from reservations.openstack.connection import Answer
from reservations.openstack.said import meaning

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "openstack_errors.json").read_text())

# the beginning of a sample's name -> the limit, and a part of the sentence
EXPECTED = (
    ("00-", said.RIGHTS, "doesn't accept these credentials"),
    ("01-", said.RIGHTS, "doesn't accept these credentials"),
    ("12-", said.GONE, "no such host"),
    ("20-member-denied-floatingips", said.KIND, "nothing of that kind"),
    ("20-member-denied-os-hosts-1", said.RIGHTS, "see the hosts"),
    (
        "20-member-denied-os-hosts-alloc",
        said.RIGHTS,
        "see what is reserved (its line blazar:oshosts:get_alloc",
    ),
    ("20-member-denied-os-hosts-prop", said.RIGHTS, "see which properties hosts have"),
    ("20-member-denied-os-hosts", said.RIGHTS, "see the hosts"),
    ("20-member-denied-plugins", said.FAULT, "failed inside"),
    ("32-", said.RIGHTS, "belongs to another project (its line"),
    ("34-", said.RIGHTS, "belongs to another project (its line"),
    ("36-", said.RIGHTS, "make reservations"),
    ("4[0-3]", said.CAPACITY, "not enough hosts"),
    ("44-", said.PROPERTIES, "no host of this cloud has a property of that name"),
    ("45-", said.PROPERTIES, 'the properties garbage make no sense: expected a list such as ["=="'),
    ("50-baddate-e", said.DATES, "the end isn't after the start"),
    ("50-baddate-garbage", said.DATES, "tomorrow is no date for Blazar: expected UTC in whole minutes"),
    ("50-baddate-past", said.DATES, "the start lies in the past"),
    ("50-", said.DATES, "is no date for Blazar"),
    ("51-", said.REQUEST, "lacks end_date"),
    ("52-", said.REQUEST, "lacks hypervisor_properties"),
    ("53-", said.REQUEST, "fewer hosts at most than at least"),
    ("54-", said.REQUEST, "min and max"),
    ("5[57]-", said.KIND, "makes no reservations of kind"),
    ("58-", said.GONE, "no such reservation"),
    ("59-", said.VERSION, "doesn't speak the version"),
    ("6[1248]-", said.CAPACITY, "not enough hosts"),
    ("65-", said.FLAVOUR, "your project has no flavour nosuch:"),
    ("66-", said.AFFINITY, "can't say whether instances share hosts"),
    ("70-dryrun-beforeend-fi-clean-4", said.CAPACITY, "not enough"),
    ("7[01]-.*-fi-(fits|over)", said.CONFLICT, "a virtual:instance reservation overlaps"),
    ("7[01]-.*-vi-over", said.CAPACITY, "not enough"),
    ("70-", said.BEFORE_END, "before_end_date"),
    ("71-", said.KIND, "kind dry:run"),
    ("8", said.CAPACITY, "not enough"),
    ("93-", said.DATES, "its start can't be moved"),
    ("94-", said.DATES, "the new end lies in the past"),
    ("A1-", said.FAULT, "failed inside"),
    ("A[2356]-", said.RIGHTS, "don't reach this far"),
    ("A7-", said.CAPACITY, "not enough"),
    (
        "E1-",
        said.CREDITS,
        "the cloud's credit service says: Insufficient VCPU credits available. Requested: 400",
    ),
    ("E10-", said.DURATION, "4 d is longer than this cloud's longest reservation, 2 d"),
    ("E[23]-", said.CREDITS, "didn't say why, or couldn't be asked"),
    ("E4-", said.DURATION, "3 d is longer than this cloud's longest reservation, 2 d"),
    ("E7-", said.CREDITS, "Insufficient VCPU credits"),
    ("E8-", said.CAPACITY, "not enough"),
    ("G0-dryrun-gpu-1-6", said.BEFORE_END, ""),
    ("G", said.CAPACITY, "not enough"),
    ("N2-", said.RIGHTS, "its line os_compute_api:os-hypervisors:list-detail"),
    ("O0-", said.RIGHTS, "see what is reserved"),
    ("O1-", said.RIGHTS, "see the hosts"),
    ("O2-", said.RIGHTS, "its line blazar:oshosts:post"),
    ("P", said.RIGHTS, "its line placement:"),
    ("S1-|S9-", said.CAPACITY, "none of them takes servers like this one"),
    ("S6-", said.CAPACITY, "no host had enough left"),
    ("S7-", said.FLAVOUR, "another project's reservation"),
    ("S8-", said.QUOTA, "quota of cores stands in the way: 4 more asked for, 20 of 20 in use"),
    ("V2-hosts", said.RIGHTS, "see the hosts"),
    ("V2-leases", said.VERSION, "version 2"),
)


def expected_of(sample: str) -> tuple[str, str]:
    return next((limit, text) for pattern, limit, text in EXPECTED if re.match(pattern, sample))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["sample"])
def test_a_recorded_refusal_becomes_its_sentence(recorded):
    limit, text = expected_of(recorded["sample"])
    if "server" in recorded:
        understood = meaning(recorded["server"]["fault"]["message"])
    else:
        answer = Answer(recorded["status"], recorded["body"])
        understood = meaning(answer.said, answer.status)
    assert understood.limit == limit
    assert text in understood.text
    assert "\n" not in understood.text


def test_what_is_not_known_is_passed_on_as_it_is():
    assert meaning("Not on Sundays", 400).text == "the cloud refuses it: Not on Sundays"
    assert meaning("Not on Sundays", 500).text == "the cloud says: Not on Sundays"
    assert meaning("Your balance is too low", 403).limit == said.CREDITS
    assert meaning("", 500).text == "the cloud refuses it without a word"
