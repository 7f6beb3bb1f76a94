"""Replication rules at a real Rucio, whose conveyor runs when a test says so."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from broker.catalogues import CatalogueError, StagingRefused
from broker.catalogues.rucio import RucioCatalogue
from broker.catalogues.rucio_options import rucio_servers
from broker.model import DataItem, Target
from federation.errors import InputError
from federation.sites import Federation
from tests.rucio.conftest import World
from tests.rucio.proxy import proxy

B = {"site": "b", "rse": "B"}
WEEK = 7 * 86400.0


def lake(world: World, *staging: dict[str, Any], **options: Any) -> tuple[Federation, RucioCatalogue]:
    """The catalogue of a federation whose sites have these storages for rules."""
    told = {**world.rucio.options, "staging": list(staging or (B,)), **options}
    federation = replace(world.federation, catalogues={"rucio": told})
    return federation, RucioCatalogue(federation, True)


def resolved(catalogue: RucioCatalogue, name: str) -> tuple[DataItem, list[str]]:
    resource = {"rucio": {"scope": "sky", "object": name}}
    found = catalogue.resolve("u-1", "survey", resource, "/data/0")
    assert found.item is not None, found.notes
    return replace(found.item, kind="rucio-data-resource"), [note.kind for note in found.notes]


def target_of(item: DataItem) -> Target:
    target = item.target("b")
    assert target is not None
    return target


def session() -> str:
    return str(uuid.uuid4())


@contextmanager
def blocked(world: World, rse: str) -> Iterator[None]:
    world.admin.writable(rse, False)
    try:
        yield
    finally:
        world.admin.writable(rse, True)


def ends(rule: dict[str, Any]) -> datetime:
    return parsedate_to_datetime(rule["expires_at"])


@contextmanager
def made_to_live(seconds: float, rules: Callable[[], list[dict[str, Any]]]) -> Iterator[None]:
    """That the only rule of `rules` ends so long after it was made, which is in this block."""
    # Rucio tells whole seconds
    earliest = datetime.now(UTC).replace(microsecond=0)
    yield
    latest = datetime.now(UTC)
    [rule] = rules()
    assert earliest <= ends(rule) - timedelta(seconds=seconds) <= latest


def test_what_a_site_lacks_is_told_with_where_it_would_come_to(world: World) -> None:
    names = world.dataset("lacks", A1=range(10), B=range(4))
    _, catalogue = lake(world, {**B, "delay": "7m", "download": True})
    item, _ = resolved(catalogue, "lacks")
    whole = sum(file.size_bytes or 0 for file in catalogue.files(item, world.federation["a"]))
    assert target_of(item).files == 6
    assert 0 < target_of(item).size_bytes < whole
    assert (target_of(item).rse, target_of(item).delay_seconds, target_of(item).or_download) == (
        "B",
        420,
        True,
    )
    assert len(names) == 10
    assert item.target("a") is None


def test_a_site_that_has_all_of_it_needs_no_rule(world: World) -> None:
    world.dataset("has", A1=range(3), B=range(3))
    item, _ = resolved(lake(world)[1], "has")
    assert item.targets == ()


@pytest.mark.parametrize(("site", "rse"), [("b", "ROOT"), ("c", "TAPE"), ("c", "B")])
def test_a_storage_that_its_site_can_t_fetch_from_is_none(world: World, site: str, rse: str) -> None:
    world.dataset(f"unusable-{rse}", A1=range(2))
    # what the catalogue says of storages is checked at start-up, what Rucio says, when it is asked
    federation = replace(world.federation, sites={k: replace(v, rses=()) for k, v in _sites(world).items()})
    told = {**world.rucio.options, "staging": [{"site": site, "rse": rse}]}
    catalogue = RucioCatalogue(replace(federation, catalogues={"rucio": told}), True)
    item, kinds = resolved(catalogue, f"unusable-{rse}")
    assert item.targets == ()
    assert "data-no-rule" in kinds


def _sites(world: World) -> dict[str, Any]:
    return {site.id: site for site in world.federation}


def test_one_rule_however_often_it_is_begun_and_its_files_lie_there(world: World) -> None:
    names = world.dataset("once", C=range(8), B=range(3))
    federation, catalogue = lake(world)
    item, _ = resolved(catalogue, "once")
    target, mine = target_of(item), session()
    again = lake(world)[1]
    with made_to_live(WEEK, lambda: world.admin.rules("sky", "once")):
        for _ in range(3):
            catalogue.begin(item, target, mine, WEEK)
        # as after a restart
        again.begin(item, target, mine, WEEK)
    [rule] = world.admin.rules("sky", "once")
    assert mine in rule["comments"]
    waiting = again.look(item, target, mine)
    assert (waiting.done, waiting.files, waiting.of) == (False, 3, 8)
    before = waiting.size_bytes
    world.conveyor.carry()
    there = again.look(item, target, mine)
    assert (there.done, there.files, there.of) == (True, 8, 8)
    assert before < there.size_bytes == item.size_bytes
    assert there.seconds is not None
    files = again.files(item, federation["b"])
    assert len(files) == len(names)
    assert {one.rse for file in files for one in file.replicas} == {"B"}
    # another session's is its own, and what ends one leaves the other
    other = session()
    again.begin(item, target, other, WEEK)
    for _ in range(2):
        again.end(item, target, mine)
    rules = {each["rse_expression"]: ends(each) for each in world.admin.rules("sky", "once")}
    within_the_hour = datetime.now(UTC) + timedelta(hours=1)
    assert {key.partition("=")[2]: value <= within_the_hour for key, value in rules.items()} == {
        mine: True,
        other: False,
    }


def test_files_of_a_storage_that_is_mounted_have_their_paths(world: World, tmp_path: Path) -> None:
    world.dataset("mounted", A1=range(3), B=range(2))
    federation, catalogue = lake(world, {**B, "path": str(tmp_path)})
    item, _ = resolved(catalogue, "mounted")
    found = {file.path: file.replicas for file in catalogue.files(item, federation["b"])}
    for number in range(2):
        [one] = found[f"mounted/{number}.fits"]
        assert one.mounted is not None
        assert one.mounted == str(tmp_path / one.url.partition("/B/")[2])
    assert [one.mounted for one in found["mounted/2.fits"]] == [None]
    # nobody else sees what is mounted there
    assert not any(one.mounted for file in catalogue.files(item, federation["a"]) for one in file.replicas)


def test_a_rule_that_nobody_began_is_ended_without_a_word_and_is_none_to_wait_for(world: World) -> None:
    world.dataset("never", A1=range(2))
    _, catalogue = lake(world)
    item, _ = resolved(catalogue, "never")
    catalogue.end(item, target_of(item), session())
    with pytest.raises(StagingRefused, match="has no rule for it at B any more"):
        catalogue.look(item, target_of(item), session())
    assert world.admin.rules("sky", "never") == []


def test_a_rule_that_is_stuck_says_why_in_one_line_without_signatures(world: World) -> None:
    world.dataset("stuck", C=range(4))
    _, catalogue = lake(world)
    item, _ = resolved(catalogue, "stuck")
    mine = session()
    catalogue.begin(item, target_of(item), mine, WEEK)
    world.conveyor.fail("TRANSFER [28] No space left on https://b.example/x?X-Amz-Signature=5ec2e7")
    with pytest.raises(StagingRefused) as refused:
        catalogue.look(item, target_of(item), mine)
    said = str(refused.value)
    assert "can't bring 4 of 4 files to B (STUCK): TRANSFER [28] No space left on https://b.example/x" in said
    assert "5ec2e7" not in said
    assert "\n" not in said


def test_a_storage_that_is_blocked_refuses_or_is_passed_over(world: World) -> None:
    world.dataset("blocked", A1=range(2))
    item, _ = resolved(lake(world)[1], "blocked")
    with blocked(world, "B"):
        _, catalogue = lake(world)
        with pytest.raises(StagingRefused, match="not available for writing"):
            catalogue.begin(item, target_of(item), session(), WEEK)
        assert resolved(catalogue, "blocked")[0].targets
        assert resolved(lake(world, {**B, "download": True})[1], "blocked")[0].targets == ()


def test_an_account_without_quota_is_refused_and_one_without_rights_leaves_it_to_the_lifetime(
    world: World, tmp_path: Path
) -> None:
    world.dataset("poor", A1=range(2))
    (tmp_path / "password").write_text("carrier-pass\n")
    world.admin.account("carrier", "carrier-pass")
    who = {"account": "carrier", "username": "carrier", "password_file": str(tmp_path / "password")}
    _, catalogue = lake(world, **who)
    item, _ = resolved(catalogue, "poor")
    mine = session()
    with pytest.raises(StagingRefused, match="insufficient quota"):
        catalogue.begin(item, target_of(item), mine, WEEK)
    # enough for one, which is begun already when it is asked for again
    world.admin.quota("carrier", "B", (item.size_bytes or 0) + 1)
    with made_to_live(60, lambda: world.admin.rules("sky", "poor")):
        for _ in range(2):
            catalogue.begin(item, target_of(item), mine, 60)
    with pytest.raises(StagingRefused, match="denies this to account carrier"):
        catalogue.end(item, target_of(item), mine)


@pytest.mark.parametrize("fault", [503, 429, "cut", "page", 401])
def test_a_rucio_that_can_t_be_asked_has_refused_nothing(world: World, fault: int | str) -> None:
    name = f"away-{fault}"
    world.dataset(name, A1=range(2))
    with proxy(world.rucio.url) as between:
        _, catalogue = lake(world, url=between.url)
        item, _ = resolved(catalogue, name)
        mine = session()
        catalogue.begin(item, target_of(item), mine, WEEK)
        between.faults["/rules/"] = fault
        for ask in (
            lambda: catalogue.begin(item, target_of(item), mine, WEEK),
            lambda: catalogue.look(item, target_of(item), mine),
            lambda: catalogue.end(item, target_of(item), mine),
        ):
            with pytest.raises(CatalogueError) as problem:
                ask()
            assert not isinstance(problem.value, StagingRefused)
            assert "\n" not in str(problem.value)
            assert not any(token and token in str(problem.value) for token in between.tokens)
        between.faults.clear()
        catalogue.end(item, target_of(item), mine)
    [rule] = world.admin.rules("sky", name)
    assert ends(rule) <= datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("staging", "words"),
    [
        ([{"site": "mars", "rse": "B"}], r"staging\[0\].site: expected one of a, b, c, got 'mars'"),
        ([{"site": "b", "rse": "A1"}], r"staging\[0\].rse: expected the name of a storage element of b"),
        ([{"site": "b", "rse": "B|A1"}], r"staging\[0\].rse: expected the name"),
        ([B, B], r"staging\[1\].site: expected each site once"),
        ([{**B, "delay": "soon"}], r"staging\[0\].delay: expected a duration"),
        ([{**B, "lifetime": "1d"}], r"staging\[0\]: unknown lifetime"),
    ],
)
def test_slips_in_the_options_are_told_at_start_up(world: World, staging: Any, words: str) -> None:
    told = {**world.rucio.options, "staging": staging}
    with pytest.raises(InputError, match=words):
        rucio_servers(replace(world.federation, catalogues={"rucio": told}))
