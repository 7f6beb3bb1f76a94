"""One service, and one way to Chromium, for a module's tests."""

import pytest

from tests.reports.pages.browsing import need_browser
from tests.reports.pages.serving import serving


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pages")
    made = directory / "reports"
    (made / "2026").mkdir(parents=True)
    (made / "2026" / "compare.html").write_text("<script>alert(1)</script>")
    (made / "data.bin").write_bytes(b"\0\1")
    (made / ".secret").write_text("hidden")
    (directory / "outside.html").write_text("not ours")
    (made / "link.html").symlink_to(directory / "outside.html")
    with serving(directory, FAIRLEAD_REPORTS_DIRECTORY=str(made), FAIRLEAD_REQUESTS_PER_MINUTE="0") as client:
        yield client


@pytest.fixture(autouse=True)
def _nobody(request):
    """Every test begins signed out."""
    if "client" in request.fixturenames:
        request.getfixturevalue("client").cookies.clear()


@pytest.fixture(scope="module")
def chromium():
    need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium
