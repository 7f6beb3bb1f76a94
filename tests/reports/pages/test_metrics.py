"""What Prometheus is told, whom it is told to, and whether the dashboard asks for what there is."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.reports.pages.serving import ADA, OLGA, ROOT, serving
from tests.waiting import until

DASHBOARD = Path(__file__).resolve().parents[3] / "examples" / "grafana-dashboard.json"
NAME = re.compile(r"\b(?:fairlead|process)_[a-z_]+")
SELECTOR = re.compile(r"\b((?:fairlead|process)_[a-z_]+)\{([^}]*)\}")


def read(client, who=ROOT):
    answer = client.get("/metrics", auth=who, headers={"accept": "text/plain"})
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture(scope="module")
def figures(client):
    def told():
        found = read(client)
        return found if any(name == "fairlead_space_cores" for name, _ in found) else None

    # clouds are asked in the background, at the first reading
    return until(told, "the clouds' answers")


def at(figures, name, **labels):
    return figures[name, tuple(sorted(labels.items()))]


def test_operators_and_administrators_may_read_it(client):
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", auth=ADA).status_code == 403
    assert client.get("/metrics", auth=OLGA).status_code == 200
    # the pages' cookie doesn't reach it
    client.cookies.set("fairlead_pages", "x.y")
    assert client.get("/metrics").status_code == 401


def test_paths_are_told_as_they_were_measured(figures):
    pair = {"source": "alpha", "destination": "beta"}
    assert at(figures, "fairlead_path_bits_per_second", **pair) == pytest.approx(92e6, rel=0.03)
    assert at(figures, "fairlead_path_round_trip_seconds", **pair) == 0.025
    assert at(figures, "fairlead_path_newest_test_age_seconds", kind="throughput", **pair) == 120
    quantiles = [
        at(figures, "fairlead_path_forecast_bits_per_second", probability=each, **pair)
        for each in ("0.1", "0.5", "0.9")
    ]
    assert quantiles == sorted(quantiles)
    assert at(figures, "fairlead_path_failing", kind="throughput", source="gamma", destination="alpha") == 1
    assert at(figures, "fairlead_path_failing", kind="throughput", **pair) == 0
    # what was never tested has no figure
    assert ("fairlead_path_bits_per_second", (("destination", "beta"), ("source", "gamma"))) not in figures


def test_clouds_are_told_as_they_were_seen(figures):
    here = {"site": "alpha", "kind": "static"}
    assert at(figures, "fairlead_space_cores", state="total", **here) == 64
    assert at(figures, "fairlead_space_cores", state="free", **here) == 32
    assert at(figures, "fairlead_space_hosts", state="free", **here) == 1
    assert at(figures, "fairlead_space_memory_bytes", state="total", **here) == 256 * 2**30


def test_every_phase_is_told(figures):
    assert len([name for name, _ in figures if name == "fairlead_sessions"]) == 13
    assert at(figures, "fairlead_sessions", phase="RUNNING") == 0


def test_no_request_makes_a_series_of_its_own(tmp_path):
    with serving(tmp_path) as client:
        for number in range(20):
            client.get(f"/nothing/{number}")
            client.get(f"/sessions/{number}")
            client.request(f"ODD{number}", "/sessions")
        found = read(client)
    counted = {
        (labels["method"], labels["route"], labels["status"]): value
        for (name, pairs), value in found.items()
        if name == "fairlead_http_requests_total" and (labels := dict(pairs))
    }
    assert counted["GET", "none", "404"] == 20
    assert counted["GET", "/sessions/{uuid}", "406"] == 20
    assert sum(value for (method, *_), value in counted.items() if method == "other") == 20
    assert len(counted) <= 4


def expressions():
    document = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    return found + [each["definition"] for each in document["templating"]["list"] if "definition" in each]


def test_the_dashboard_asks_for_what_there_is(figures):
    names = {name for name, _ in figures}
    labels = {}
    for name, pairs in figures:
        labels.setdefault(name, []).append(dict(pairs))
    assert len(expressions()) > 15
    for expression in expressions():
        used = set(NAME.findall(expression))
        assert used, expression
        assert used <= names, expression
        for name, selector in SELECTOR.findall(expression):
            for label, operator, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', selector):
                values = {each[label] for each in labels[name]}
                if not value.startswith("$"):
                    wanted = set(value.split("|")) if operator == "=~" else {value}
                    assert wanted <= values, expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            for label in grouped.split(", "):
                assert all(label in each for name in used for each in labels[name]), expression


def test_every_legend_names_labels_that_stay(figures):
    document = json.loads(DASHBOARD.read_text())
    labels = {}
    for name, pairs in figures:
        labels.setdefault(name, set()).update(dict(pairs))
    for panel in document["panels"]:
        for target in panel["targets"]:
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            left = (
                {label for each in grouped for label in each.split(", ")}
                if grouped
                else set().union(*(labels[name] for name in NAME.findall(target["expr"])))
            )
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left, target["expr"]
