"""Chromium, and the application on a real socket for it, for the tests of what people see."""

import importlib.util
import shutil
import tempfile
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from fairlead.serving import address_of, listen

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = {"width": 1200, "height": 900}
SECONDS = 180_000  # milliseconds: for a machine that does something else, too


@contextmanager
def running(app):
    """The application on a real socket of this machine."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield address_of(listening)
        finally:
            server.should_exit = True
            thread.join(20)


def need_browser():
    """Skip the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: scripts/system-packages --tests installs it")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("there is no playwright here")


@contextmanager
def opened(chromium, base_url, viewport=DESK, scheme="light", **more):
    """A page of a browser with a profile of its own."""
    profile = tempfile.mkdtemp(prefix="fairlead-chromium-")
    context = chromium.launch_persistent_context(
        profile,
        executable_path=CHROMIUM,
        args=FLAGS,
        viewport=viewport,
        color_scheme=scheme,
        # colours that are looked at are not on their way to others
        reduced_motion="reduce",
        base_url=base_url,
        **more,
    )
    try:
        context.set_default_timeout(SECONDS)
        yield context.new_page()
    finally:
        context.close()
        shutil.rmtree(profile, ignore_errors=True)
