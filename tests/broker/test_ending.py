"""How a broker ends that nobody waits for: as one that is asked to end."""

from dataclasses import replace

import pytest

from broker.app import create_app
from broker.audit import Entry, Filters, read
from federation.catalogue import builtin_federation
from tests.hasty import cut_short


@pytest.mark.parametrize("supervise", [True, False])
def test_a_second_interrupt_is_an_end_as_the_first(settings, engine, clock, supervise):
    settings = replace(settings, supervise=supervise)
    app = create_app(settings, builtin_federation(), engine, clock, online=False)
    entry = Entry(time=clock.now(), action="login.fail", status=401, request_id="1")
    said = cut_short(app, lambda: app.state.audit.record(entry))
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    # what was to be written is written before it is gone
    assert [each.action for _, each in read(engine, Filters())] == ["login.fail"]
