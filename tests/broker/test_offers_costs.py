"""What an offer costs and is worth, as a whole and part by part."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.model import MinMax, StorageItem
from broker.offers import price
from broker.sessions.codec import dump_placement, load_placement
from federation.sites import Energy, Tariff
from tests.broker.conftest import make_data, make_federation, make_request, make_site
from tests.broker.offering import ask, figure
from tests.broker.offering_worlds import requests

GIB = 2**30
ADDED = (price.MONETARY, price.ENERGY, price.CARBON, price.TRANSFER_BYTES)


def one(tariff=Tariff(0.1, 0.02, 0.004, 0.001), **platform):  # noqa: B008 - frozen
    site = make_site("lausanne", 46.52, 6.63, **platform)
    return make_federation(replace(site, tariff=tariff, energy=Energy(8.0, 100.0)))


def offer(federation, **asked):
    storage = asked.pop("storage", ())
    (placement,) = ask(federation, replace(make_request(**asked), storage=storage)).placements
    return placement


def test_compute_storage_and_data_have_figures_of_their_own():
    data = [make_data("perth", size_bytes=2 * GIB), make_data("lausanne", size_bytes=GIB, name="b")]
    data = [replace(data[0], storage="s"), data[1]]
    placement = offer(
        one(options={"io_throughput": 400}),
        cores=(2, None),
        memory=(5, None),
        data=data,
        duration=timedelta(hours=3),
        storage=(StorageItem("s", "s", MinMax(10, 20)),),
    )
    costs, metrics = placement.component_costs, placement.component_metrics
    assert figure(costs["compute"], price.MONETARY).maximum == pytest.approx((2 * 0.1 + 5 * 0.02) * 3)
    assert figure(costs["compute"], price.ENERGY).maximum == pytest.approx(2 * 8 * 3 / 1000)
    assert figure(costs["compute"], price.CARBON).maximum == pytest.approx(2 * 8 * 3 / 1000 * 100)
    assert figure(metrics["compute"], price.COMPUTE_PERFORMANCE).maximum == 150.0
    assert figure(costs["s"], price.MONETARY).maximum == pytest.approx(10 * 0.001 * 3)
    assert figure(metrics["s"], price.IO_THROUGHPUT).maximum == 400.0
    moved, local = (placement.component_costs[item.uuid] for item in data)
    assert figure(moved, price.MONETARY).maximum == pytest.approx(2 * 0.004)
    assert figure(moved, price.TRANSFER_BYTES).maximum == 2 * GIB
    seconds = placement.staging.moves[0].seconds
    of_move = figure(moved, price.TRANSFER_SECONDS)
    assert (of_move.minimum, of_move.maximum) == (seconds.p10, seconds.p90)
    assert figure(local, price.TRANSFER_BYTES).maximum == 0
    assert price.MONETARY not in {cost.type for cost in local}
    assert figure(metrics[data[0].uuid], price.PATH_THROUGHPUT).minimum == pytest.approx(64e6)
    assert data[1].uuid not in metrics


def test_a_site_without_a_tariff_for_storage_states_no_price_of_it():
    storage = (StorageItem("s", "s", MinMax(10)),)
    assert "s" not in offer(one(Tariff(0.1)), storage=storage).component_costs


def test_half_the_time_costs_half():
    short = offer(one(), duration=timedelta(hours=1))
    long = offer(one(), duration=timedelta(hours=2))
    for type_ in (price.MONETARY, price.ENERGY, price.CARBON):
        assert figure(long.costs, type_).maximum == pytest.approx(2 * figure(short.costs, type_).maximum)


@settings(deadline=None)
@given(requests(largest_cores=4), st.tuples(*[st.floats(0, 10)] * 4))
def test_the_whole_is_the_sum_of_its_parts(request, prices):
    for placement in ask(one(Tariff(*prices)), request).placements:
        assert len({cost.type for cost in placement.costs}) == len(placement.costs)
        for type_ in ADDED:
            whole = figure(placement.costs, type_)
            parts = [
                cost for costs in placement.component_costs.values() for cost in costs if cost.type == type_
            ]
            assert whole.maximum == pytest.approx(sum(part.maximum for part in parts))
            assert whole.minimum == pytest.approx(sum(part.minimum for part in parts))
        seconds = figure(placement.costs, price.TRANSFER_SECONDS)
        # one after the other, so the quantiles of the whole lie within the sums of the parts'
        parts = [move.seconds for move in placement.staging.moves]
        assert sum(part.p10 for part in parts) <= seconds.minimum + 1e-9
        assert seconds.maximum <= sum(part.p90 for part in parts) + 1e-9
        known = {"compute", *(item.uuid for item in (*request.storage, *request.data))}
        assert set(placement.component_costs) | set(placement.component_metrics) <= known


def test_figures_of_components_outlive_the_database():
    placement = offer(one(), data=[make_data("perth")])
    assert load_placement(dump_placement(placement)) == placement
