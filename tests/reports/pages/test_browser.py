"""The pages in Chromium: by keyboard alone, on a phone, in light and dark, for who uses a screen reader.

What a page needs for that is looked up in the page as the browser has it (`faults.js`).
"""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.reports.pages.browsing import DESK, need_browser, opened, running
from tests.reports.pages.serving import ADA, MEASUREMENTS, OLGA, serving

PHONE = {"width": 360, "height": 740}
PAGES = (
    "/pages",
    "/pages?kind=round-trip",
    "/pages/paths/alpha/beta",
    "/pages/space?cores=32&instances=2&for=1d",
)

FAULTS = Path(__file__).with_name("faults.js").read_text()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    need_browser()
    with (
        serving(
            tmp_path_factory.mktemp("browser"),
            # phases stand still until a test changes them
            FAIRLEAD_SUPERVISE="false",
            FAIRLEAD_REQUESTS_PER_MINUTE="0",
        ) as client,
        running(client.app) as url,
    ):
        client.url = url
        yield client


@pytest.fixture
def browse(service, chromium):
    """Opens a browser of its own: `browse(viewport, scheme, who)` is its page, signed in as `who`.

    Whatever a page complains of in the console fails the test.
    """
    said = []

    def start(viewport=DESK, scheme="light", who=ADA, **more):
        page = stack.enter_context(opened(chromium, service.url, viewport, scheme, **more))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if not ours(request.url) else None)
        if who is not None:
            page.goto("/pages/sign-in")
            page.get_by_label("User name").fill(who[0])
            page.get_by_label("Password", exact=True).fill(who[1])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/pages")
        return page

    def ours(url):
        return url.startswith((service.url, "data:"))

    with ExitStack() as stack:
        yield start
    assert said == []


def offers_made(page):
    page.goto("/pages/offers")
    page.get_by_role("button", name="Ask for offers").click()
    page.wait_for_url(re.compile("/pages/offers/.+"))


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")]
)
def test_every_page_can_be_used_by_everybody(browse, viewport, scheme):
    page = browse(viewport, scheme, OLGA)
    faults = {}
    for path in (*PAGES, "/pages/offers"):
        page.goto(path)
        faults[path] = page.evaluate(FAULTS)
    offers_made(page)
    faults["an offer set"] = page.evaluate(FAULTS)
    page.get_by_role("button", name=re.compile("^Accept")).first.click()
    page.wait_for_url(re.compile("/pages/sessions/.+"))
    faults["a session"] = page.evaluate(FAULTS)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    faults["sign in"] = page.evaluate(FAULTS)
    assert {path: found for path, found in faults.items() if found} == {}


def test_the_check_sees_what_is_wrong(browse):
    """The test above is worth something only where it can fail."""
    page = browse()
    assert page.evaluate(FAULTS) == []
    page.evaluate("""() => {
      document.querySelector("h2").style.color = "#999";
      document.querySelector(".map.large .site text").style.fill = "#ccc";
      document.querySelector("main").insertAdjacentHTML("beforeend",
        "<input name=bare><h4>deep</h4><a href=x></a><div style='width: 3000px'>wide</div>");
    }""")
    found = " ".join(page.evaluate(FAULTS))
    for fault in (
        "contrast 2.85: Map",
        "contrast 1.38: Alpha",
        "no label: bare",
        "h4 after h2",
        "no name: <a",
        "scrolls sideways",
    ):
        assert fault in found


def test_light_and_dark_are_two_looks_of_one_page(browse):
    grounds = set()
    for scheme in ("light", "dark"):
        page = browse(DESK, scheme)
        page.goto("/pages/paths/alpha/beta")
        grounds.add(
            page.evaluate(
                "() => [document.body, document.querySelector('.picture svg text')]"
                ".map(e => getComputedStyle(e).backgroundColor + getComputedStyle(e).fill).join()"
            )
        )
    assert len(grounds) == 2


def focused(page):
    return page.evaluate("() => document.activeElement.textContent.trim() || document.activeElement.name")


def tab_to(page, words, most=80):
    for _ in range(most):
        page.keyboard.press("Tab")
        if words in focused(page):
            return
    raise AssertionError(f"{words!r} can't be reached by keyboard")


def test_the_story_goes_by_keyboard_alone(browse):
    page = browse(who=None)
    page.goto("/pages/offers")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    tab_to(page, "username")
    page.keyboard.type(ADA[0])
    page.keyboard.press("Tab")
    page.keyboard.type(ADA[1])
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("^[^?]*/pages/offers$"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#main:focus").wait_for()
    tab_to(page, "Ask for offers")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/pages/offers/.+"))
    tab_to(page, "Accept")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/pages/sessions/.+"))
    tab_to(page, "Cancel the session")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Cancelled at").wait_for()


def test_a_session_is_followed_while_it_goes_on(browse, service):
    page = browse()
    offers_made(page)
    page.get_by_role("button", name=re.compile("^Accept")).first.click()
    page.get_by_role("heading", name="Accepted at").wait_for()
    uuid = page.url.rpartition("/")[2]
    # somebody cancels it elsewhere
    service.app.state.front.service.update_phase(uuid, *cancelled_by_ada(service))
    page.get_by_role("heading", name="Cancelled at").wait_for()
    page.get_by_role("status").filter(has_text="The session is CANCELLED now").wait_for()


def cancelled_by_ada(service):
    from broker.model import Phase

    return Phase.CANCELLED, service.identities.check(*ADA)


def test_without_scripts_a_session_goes_on_as_well(browse):
    page = browse(java_script_enabled=False)
    offers_made(page)
    page.get_by_role("button", name=re.compile("^Accept")).first.click()
    page.get_by_role("heading", name="Accepted at").wait_for()
    # it loads the page again and again: what is there between two is waited for
    page.locator("noscript meta[http-equiv=refresh]").wait_for(state="attached")


def test_a_cell_leads_to_its_path_and_the_form_answers(browse):
    page = browse(PHONE)
    assert (
        page.locator("table.mesh td a").count()
        == 6
        == len({(m.source, m.destination) for m in MEASUREMENTS}) + 2
    )
    page.locator("table.mesh").get_by_role("link", name=re.compile("^Beta to Alpha")).click()
    page.get_by_role("heading", name="Beta to Alpha", level=1).wait_for()
    page.get_by_role("link", name="Space").click()
    page.get_by_label("Cores").fill("32")
    page.get_by_role("spinbutton", name=re.compile("^Units")).fill("2")
    page.get_by_role("button", name="When?").click()
    page.get_by_role("heading", name="2 × 32 cores").wait_for()
    # of the site that has both hosts free when the booking is over
    page.get_by_role("cell", name="2026-11-27 10:00").first.wait_for()


def test_the_map_leads_to_sites_and_paths_by_keyboard_alone(browse):
    page = browse(PHONE)
    assert page.locator(".map.small").is_visible()
    assert not page.locator(".map.large").is_visible()
    # who doesn't want to go through all of it goes on after it
    tab_to(page, "Skip the")
    page.keyboard.press("Enter")
    page.locator("#mesh:focus").wait_for()
    page.goto("/pages")
    tab_to(page, "Alpha <b>: only its paths")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Paths from and to Alpha").wait_for()
    tab_to(page, "Beta to Alpha")
    line = page.locator(".map.small a:focus .line")
    assert page.evaluate("e => getComputedStyle(e).strokeWidth", line.element_handle()) == "6px"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Beta to Alpha", level=1).wait_for()


def test_another_sites_form_finds_nobody_signed_in(browse, service):
    """The cookie isn't sent with what comes from elsewhere: 127.0.0.1 and localhost are two sites."""
    page = browse()
    stranger = (
        f"data:text/html,<form method=post action='{service.url}/pages/sign-out'><button>win</button></form>"
    )
    page.goto(stranger)
    with page.expect_response("**/pages/sign-out") as answer:
        page.get_by_role("button", name="win").click()
    assert answer.value.status == 303
    assert answer.value.headers["location"] == "/pages/sign-in"
    assert "cookie" not in answer.value.request.all_headers()
    page.goto("/pages")
    assert page.get_by_role("button", name="Sign out").count() == 1
