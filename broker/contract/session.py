"""Sessions: an executable with the resources that it needs, from offer to end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from broker.contract.common import Component, Schedule
from broker.contract.compute import Compute
from broker.contract.data import Data
from broker.contract.executable import Executable
from broker.contract.storage import Storage
from broker.contract.wire import Wire, Xml, xml_root
from broker.model import Phase


class Connector(Wire):
    kind: str | None = None
    status: Literal["PREPARING", "AVAILABLE", "FINISHED"] | None = None
    protocol: str | None = None
    location: str | None = None


class ScheduledSession(Component):
    """ScheduledExecutionSession."""

    model_config = xml_root("execution")

    # from JSON, too, where it is a text
    phase: Annotated[Phase, Field(strict=False)] | None = None
    expires: str | None = None
    executable: Executable | None = None
    compute: Compute | None = None
    storage: list[Storage] | None = None
    data: list[Data] | None = None
    connectors: Annotated[list[Connector], Xml("connector")] | None = None
    schedule: Schedule | None = None
