"""Reports in Chromium: on a desk and on a phone, in light and dark, for who uses a screen reader."""

from pathlib import Path

import pytest

from broker.model import Phase
from reports.document import NOBODY
from reports.laid_out import LaidOut
from reports.promises.broker import report as broker_report
from reports.promises.sessions import Record
from reports.space_use.page import report as space_report
from reports.writing import write
from tests.reports.compare import planted as compared
from tests.reports.network import test_command as network
from tests.reports.pages.browsing import DESK, opened
from tests.reports.promises.making import SINCE, UNTIL, asked, promise
from tests.reports.space_use.made import calendar, cloud, host, reading, taken

FAULTS = Path(__file__).with_name("faults.js").read_text()
PHONE = {"width": 390, "height": 844}
LOOKS = [(DESK, "light", "rgb(255, 255, 255)"), (PHONE, "dark", "rgb(28, 30, 36)")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The pages of four reports."""
    folder = tmp_path_factory.mktemp("reports")
    url = network.filled(folder, [*network.some(), *mesh()])
    common = ["--database", url, "--format", "html", "--out", str(folder)]
    network.run(*network.TIMES, *common)
    days = ["--since", compared.SINCE.isoformat(), "--until", compared.UNTIL.isoformat()]
    network.run(*days, *common, report="compare")
    sessions = [promise(1), promise(2, late=900.0), promise(3, Phase.FAILED, late=None, money=2.0)]
    asks = [asked(number) for number in (1, 2, 3)]
    asks.append(asked(4, yes=False, refusals=(("perth", "no-room"),), answer_seconds=1.0))
    broker = broker_report(Record(tuple(asks), tuple(sessions)), SINCE, UNTIL)
    booked = [taken(1, -4, 4, 4, holder="zoe", name="deep field"), taken(2, 1, 9, holder="ann")]
    space = space_report(reading(cloud(calendar([host(1), host(2)], booked))), NOBODY)
    for document in (broker, space):
        write(LaidOut(document), folder, ("html",))
    pages = sorted(folder.glob("*.html"))
    assert [page.stem for page in pages] == ["broker", "compare", "network", "space"]
    return pages


def mesh():
    """Paths on which the scripted tests and the mesh's agree, and don't."""
    plant = compared.Planter(1)
    yield from plant.rates("a", "b", 9e9, 9e9)
    yield from plant.rates("b", "a", 2.6e9, 9e9, how={"window": "16 MiB"})
    yield from plant.latency("a", "b", loss=1e-3)


@pytest.mark.parametrize(("viewport", "scheme", "ground"), LOOKS)
def test_every_report_can_be_read_by_everybody(chromium, made, viewport, scheme, ground):
    found = {}
    with opened(chromium, "http://127.0.0.1", viewport, scheme) as page:
        for path in made:
            page.goto(path.as_uri())
            found[path.stem] = page.evaluate(FAULTS)
            # what is written in pictures is looked at, too: they have the page's colours
            assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == ground
    assert {name: faults for name, faults in found.items() if faults} == {}
