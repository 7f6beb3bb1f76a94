"""Start nova-compute with our driver beside Nova's own: it looks for one in its package nova.virt alone.

It also asks Placement anew each time what it has of its host. Nova remembers, and never forgets a provider
that somebody else has removed: once Blazar has given a host back, it fails on what Blazar had below it until
it is started again, in real clouds, too.
"""

from pathlib import Path
from typing import Any

# first: it chooses the threading model
from nova.cmd.compute import main  # isort: split

from nova import virt
from nova.scheduler.client.report import SchedulerReportClient

_remembering = SchedulerReportClient.get_provider_subtree_and_ensure_root


def _anew(self: Any, *arguments: Any, **named: Any) -> Any:
    self.clear_provider_cache(init=True)
    return _remembering(self, *arguments, **named)


SchedulerReportClient.get_provider_subtree_and_ensure_root = _anew
virt.__path__.append(str(Path(__file__).parent))
main()
