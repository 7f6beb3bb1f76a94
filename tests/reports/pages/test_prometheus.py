"""The metrics as a real Prometheus reads them, and the dashboard's questions as it answers them."""

import json
import math
import re
import shutil
import subprocess
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import httpx
import pytest

from tests.reports.pages.browsing import running
from tests.reports.pages.serving import OLGA, serving
from tests.waiting import until

DASHBOARD = json.loads(
    (Path(__file__).resolve().parents[3] / "examples" / "grafana-dashboard.json").read_text()
)
# what promtool would have otherwise, and why it is as it is
STYLE = (
    # networks are measured in bit/s, by every tool that measures them and in everybody's head
    re.compile(r'^fairlead_path_(forecast_)?bits_per_second use base unit "bytes" instead of "bits"$'),
)
# two readings make a rate; one that takes longer than it is to the next counts as failed
EVERY, WITHIN = 4, "5m"
SECONDS = 60.0
# each question is work for it, and for who is read
PAUSE = 0.2


@pytest.fixture(scope="module")
def tools():
    for name in ("prometheus", "promtool"):
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name} here: scripts/system-packages --tests installs it")


@contextmanager
def prometheus(directory, target):
    """One that reads `target` again and again, with an operator's credentials; gives a client of its API."""
    (directory / "password").write_text(OLGA[1])
    (directory / "prometheus.yml").write_text(f"""
global: {{scrape_interval: {EVERY}s}}
scrape_configs:
  - job_name: fairlead
    basic_auth: {{username: {OLGA[0]}, password_file: {directory / "password"}}}
    static_configs: [{{targets: ["{target}"]}}]
""")
    log = directory / "log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=said,
            stderr=said,
        )
    try:
        listening = re.compile(r'msg="Listening on" address=(\S+)')
        address = until(lambda: listening.search(log.read_text()), "Prometheus listens", log.read_text)[1]
        with httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False, timeout=SECONDS) as client:
            yield client
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def reader(tools, tmp_path_factory):
    """A Prometheus that has read a broker's metrics a few times, clouds among them."""
    directory = tmp_path_factory.mktemp("prometheus")
    with (
        serving(directory, FAIRLEAD_SUPERVISE="false") as client,
        running(client.app) as url,
        prometheus(directory, url.removeprefix("http://")) as reader,
    ):
        for wanted in ("fairlead_space_cores", f"sum_over_time(up[{WITHIN}]) >= 2"):
            until(lambda wanted=wanted: answer(reader, wanted), wanted, pause=PAUSE)
        yield reader


def answer(reader, expression):
    """What Prometheus says to it: a sample for each series. Fails where it can't be read."""
    found = reader.get("/query", params={"query": expression}).json()
    assert found["status"] == "success", (expression, found.get("error"))
    return found["data"]["result"]


def expressions():
    return [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def filled_in(expression):
    """As Grafana asks it, with all sites chosen."""
    known = {"source": "(alpha|gamma|beta)", "destination": "(alpha|gamma|beta)", "__rate_interval": WITHIN}
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], expression)


def test_it_is_let_in_with_an_operators_credentials(reader):
    def is_let_in():
        (target,) = reader.get("/targets").json()["data"]["activeTargets"]
        return (target["health"], target["lastError"]) == ("up", "")

    until(is_let_in, "a target that is up", pause=PAUSE)


@pytest.mark.parametrize(("title", "expression"), expressions())
def test_the_dashboards_questions_have_answers(reader, title, expression):
    def numbers():
        values = [float(series["value"][1]) for series in answer(reader, filled_in(expression))]
        return [value for value in values if not math.isnan(value)]

    # a busy machine has read but once yet
    assert until(numbers, f"{title}: an answer to {expression}", pause=PAUSE)


def test_the_dashboards_choices_have_values(reader):
    asked = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert len(asked) == 2
    for query in asked:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
        path, params = f"/label/{label}/values", {"match[]": metric}

        def values(path=path, params=params):
            return reader.get(path, params=params).json()["data"]

        assert set(until(values, query, pause=PAUSE)) <= {"alpha", "beta", "gamma"}


def test_the_dashboards_questions_can_fail(reader):
    """The tests above are worth something only where nothing is no answer."""
    assert answer(reader, "fairlead_path_bits_per_seconds") == []
    with pytest.raises(AssertionError, match="parse error"):
        answer(reader, "sum(fairlead_sessions")


def test_promtool_finds_nothing_to_say(tools, client):
    text = client.get("/metrics", auth=OLGA, headers={"accept": "text/plain"}).text
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=SECONDS
    )
    said = [line for line in checked.stderr.splitlines() if not any(known.match(line) for known in STYLE)]
    assert said == []
    assert "fairlead_path_forecast" in text


def test_the_dashboard_is_what_grafana_reads():
    """Grafana's own models, made from its schemas, know every field of it, and of the right type."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    # what a query variable is called in lists; its schema leaves it out
    assert {fault for fault in lost(DASHBOARD, read) if not fault.endswith("/definition")} == set()


def lost(written, read, where=""):
    """Where `read` hasn't what was written."""
    if isinstance(written, dict) and isinstance(read, dict):
        for name, value in written.items():
            yield from lost(value, read.get(name), f"{where}/{name}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, value in enumerate(written):
            yield from lost(value, read[number], f"{where}/{number}")
    elif written != read:
        yield where


def test_the_dashboards_panels_have_places_and_sources_of_their_own():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        # Grafana's grid has 24 columns
        assert 0 <= place["x"] <= 24 - place["w"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart
