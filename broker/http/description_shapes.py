"""Which schema of the OpenAPI document is made of which model, and which kinds stand under which base.

Names and shape are the published contract's: an abstract base with a discriminator, of which the kinds are
made by `allOf`. That is what client generators make classes of; pydantic's own `oneOf` becomes a class for
every place at which it stands (docs/clients.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from broker.contract import (
    common,
    compute,
    costs,
    data,
    executable,
    kinds,
    messages,
    offerset,
    options,
    session,
    storage,
    volume,
)


@dataclass(frozen=True)
class Shape:
    """A schema: `fields` of `model` (None: all that no parent has), beside those of its `parents`.

    `kinds` makes it the abstract base of the schemas that it names, by the URI of their kind.
    """

    name: str
    model: type[BaseModel]
    parents: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    required: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


_ANY = "AbstractComponent"
_LIVING = (_ANY, "LifecycleComponent")
_COMPONENTS = ("executable", "compute", "storage", "data")

SHAPES: tuple[Shape, ...] = (
    Shape("ComponentMetadata", common.Metadata),
    Shape("MessageItem", messages.MessageItem),
    Shape(_ANY, common.Component),
    Shape("LifecycleStartDurationInstant", common.StartDurationInstant),
    Shape("LifecycleStartDurationInterval", common.StartDurationInterval),
    Shape("LifecycleSchedule", common.Schedule),
    Shape("LifecycleComponent", common.LifecycleComponent, fields=("phase", "schedule")),
    # What costs. The contract has the bases among their own kinds, which generated code can not read: that is
    # left out (docs/clients.md).
    Shape(
        "AbstractCostItem",
        costs.AbstractItem,
        required=("kind",),
        kinds={
            kinds.MINMAX_COST: "SimpleMinMaxFloatCost",
        },
    ),
    Shape("SimpleMinMaxFloatCost", costs.MinMaxFloat, ("AbstractCostItem",)),
    Shape(
        "AbstractMetricItem",
        costs.AbstractItem,
        required=("kind",),
        kinds={
            kinds.MINMAX_METRIC: "SimpleMinMaxFloatMetric",
        },
    ),
    Shape("SimpleMinMaxFloatMetric", costs.MinMaxFloat, ("AbstractMetricItem",)),
    # what runs
    Shape(
        "AbstractExecutable",
        common.LifecycleComponent,
        _LIVING,
        required=("kind",),
        kinds={
            kinds.DOCKER_CONTAINER: "DockerContainer",
            kinds.SINGULARITY_CONTAINER: "SingularityContainer",
            kinds.JUPYTER_NOTEBOOK: "JupyterNotebook",
        },
    ),
    Shape("DockerContainer", executable.DockerContainer, ("AbstractExecutable",)),
    Shape("DockerImageSpec", executable.DockerImage),
    Shape("DockerPlatformSpec", executable.DockerPlatform),
    Shape("DockerNetworkSpec", executable.DockerNetwork),
    Shape("DockerNetworkPort", executable.DockerPort),
    Shape("DockerInternalPort", executable.DockerInternalPort),
    Shape("DockerExternalPort", executable.DockerExternalPort),
    Shape("SingularityContainer", executable.SingularityContainer, ("AbstractExecutable",)),
    Shape("JupyterNotebook", executable.JupyterNotebook, ("AbstractExecutable",)),
    # where it runs
    Shape(
        "AbstractComputeResource",
        compute.SimpleCompute,
        _LIVING,
        fields=("volumes",),
        required=("kind",),
        kinds={kinds.SIMPLE_COMPUTE: "SimpleComputeResource"},
    ),
    Shape("SimpleComputeResource", compute.SimpleCompute, ("AbstractComputeResource",)),
    Shape("SimpleComputeCores", compute.IntegerRange),
    Shape("SimpleComputeMemory", compute.IntegerRange),
    Shape(
        "AbstractVolumeMount",
        common.Component,
        (_ANY,),
        required=("kind",),
        kinds={kinds.SIMPLE_VOLUME: "SimpleVolumeMount"},
    ),
    Shape("SimpleVolumeMount", volume.SimpleVolume, ("AbstractVolumeMount",)),
    Shape(
        "AbstractStorageResource",
        storage.SimpleStorage,
        _LIVING,
        fields=("data",),
        required=("kind",),
        kinds={kinds.SIMPLE_STORAGE: "SimpleStorageResource"},
    ),
    Shape("SimpleStorageResource", storage.SimpleStorage, ("AbstractStorageResource",)),
    Shape("SimpleStorageSize", compute.IntegerRange),
    # what it reads
    Shape(
        "AbstractDataResource",
        data.DataResource,
        _LIVING,
        required=("kind",),
        kinds={
            kinds.SIMPLE_DATA: "SimpleDataResource",
            kinds.S3_DATA: "S3DataResource",
            kinds.RUCIO_DATA: "RucioDataResource",
            kinds.IVOA_DATA: "IvoaDataResource",
            kinds.SKAO_DATA: "SkaoDataResource",
        },
    ),
    Shape("SimpleDataResource", data.SimpleData, ("AbstractDataResource",)),
    Shape("S3DataResource", data.S3Data, ("AbstractDataResource",)),
    Shape("RucioDataResource", data.RucioData, ("AbstractDataResource",)),
    Shape("RucioDataResourceBlock", data.RucioBlock),
    Shape("IvoaDataResource", data.IvoaData, ("AbstractDataResource",)),
    Shape("IvoaDataResourceBlock", data.IvoaBlock),
    Shape("IvoaObsCoreItem", data.ObsCore),
    Shape("IvoaDataLinkItem", data.DataLink),
    Shape("SkaoDataResource", data.SkaoData, ("AbstractDataResource",)),
    Shape("SkaoDataResourceBlock", data.SkaoBlock),
    Shape("SkaoChecksumItem", data.SkaoChecksum),
    Shape("SkaoReplicaItem", data.SkaoReplica),
    # what may be changed, and changes
    Shape(
        "AbstractOption",
        options.StringValueOption,
        fields=("kind", "path"),
        required=("kind", "path"),
        kinds={
            kinds.STRING_VALUE_OPTION: "StringValueOption",
            kinds.ENUM_VALUE_OPTION: "EnumValueOption",
            kinds.INTEGER_VALUE_OPTION: "IntegerValueOption",
            kinds.INTEGER_DELTA_OPTION: "IntegerDeltaOption",
        },
    ),
    Shape("StringValueOption", options.StringValueOption, ("AbstractOption",)),
    Shape("EnumValueOption", options.EnumValueOption, ("AbstractOption",), required=("values",)),
    Shape("IntegerValueOption", options.IntegerValueOption, ("AbstractOption",)),
    Shape("IntegerDeltaOption", options.IntegerDeltaOption, ("AbstractOption",)),
    Shape(
        "AbstractUpdate",
        options.StringValueUpdate,
        fields=("kind", "path"),
        required=("kind", "path"),
        kinds={
            kinds.STRING_VALUE_UPDATE: "StringValueUpdate",
            kinds.ENUM_VALUE_UPDATE: "EnumValueUpdate",
            kinds.INTEGER_VALUE_UPDATE: "IntegerValueUpdate",
            kinds.INTEGER_DELTA_UPDATE: "IntegerDeltaUpdate",
        },
    ),
    Shape("StringValueUpdate", options.StringValueUpdate, ("AbstractUpdate",), required=("value",)),
    Shape("EnumValueUpdate", options.EnumValueUpdate, ("AbstractUpdate",), required=("value",)),
    Shape("IntegerValueUpdate", options.IntegerValueUpdate, ("AbstractUpdate",), required=("value",)),
    Shape("IntegerDeltaUpdate", options.IntegerDeltaUpdate, ("AbstractUpdate",), required=("delta",)),
    # requests, sessions, offers
    Shape("RequestedScheduleItem", offerset.RequestedItem),
    Shape("RequestedScheduleBlock", offerset.RequestedBlock),
    Shape("ExecutionRequestComponents", offerset.ExecutionRequest, fields=_COMPONENTS),
    Shape("ExecutionRequest", offerset.ExecutionRequest, ("ExecutionRequestComponents",)),
    Shape("SimpleExecutionComponents", session.ScheduledSession, fields=_COMPONENTS),
    Shape("SimpleSessionConnector", session.Connector),
    Shape("ScheduleStartDurationInstant", common.StartDurationInstant),
    Shape("ScheduleStartDurationInterval", common.StartDurationInterval),
    Shape("ScheduledExecutionSchedule", common.Schedule),
    Shape(
        "AbstractExecutionSession",
        common.Component,
        (_ANY,),
        required=("kind",),
        kinds={
            kinds.BASE + "session/simple-execution-session.yaml": "SimpleExecutionSession",
            kinds.SCHEDULED_SESSION: "ScheduledExecutionSession",
        },
    ),
    Shape(
        "SimpleExecutionSession",
        session.ScheduledSession,
        ("AbstractExecutionSession", "SimpleExecutionComponents"),
        fields=("phase", "expires", "connectors"),
    ),
    Shape("ScheduledExecutionSession", session.ScheduledSession, ("SimpleExecutionSession",)),
    Shape("OfferSetResponse", offerset.OfferSetResponse, (_ANY,), required=("kind", "result")),
)

# what is a document of its own, and so has a name as an XML element
ROOTS = frozenset({"ExecutionRequest", "OfferSetResponse", "SimpleExecutionSession"})

# lists that have a schema of their own: that of their members
LISTS: Mapping[str, str] = {
    "AbstractCostItemList": "AbstractCostItem",
    "AbstractMetricItemList": "AbstractMetricItem",
    "AbstractVolumeMountList": "AbstractVolumeMount",
    "AbstractStorageResourceList": "AbstractStorageResource",
    "AbstractDataResourceList": "AbstractDataResource",
    "SimpleSessionConnectorList": "SimpleSessionConnector",
}

# properties whose schema the model's annotation doesn't tell: one model serves for several of the contract's
PLACES: Mapping[str, str] = {
    "costs": "AbstractCostItemList",
    "metrics": "AbstractMetricItemList",
    "volumes": "AbstractVolumeMountList",
    "connectors": "SimpleSessionConnectorList",
    "environment": "NameValueMap",
    "MessageItem.values": "NameValueMap",
    "LifecycleComponent.phase": "LifecyclePhase",
    "SimpleComputeResource.cores": "SimpleComputeCores",
    "SimpleComputeResource.memory": "SimpleComputeMemory",
    "SimpleStorageResource.size": "SimpleStorageSize",
    "ExecutionRequestComponents.storage": "AbstractStorageResourceList",
    "ExecutionRequestComponents.data": "AbstractDataResourceList",
    "SimpleExecutionComponents.storage": "AbstractStorageResourceList",
    "SimpleExecutionComponents.data": "AbstractDataResourceList",
    "OfferSetResponse.offers[]": "AbstractExecutionSession",
    "ScheduledExecutionSession.schedule": "ScheduledExecutionSchedule",
    "ScheduledExecutionSchedule.preparing": "ScheduleStartDurationInstant",
    "ScheduledExecutionSchedule.available": "ScheduleStartDurationInterval",
    "ScheduledExecutionSchedule.releasing": "ScheduleStartDurationInstant",
    "LifecycleStartDurationInstant.start": "ISO8601Instant",
    "LifecycleStartDurationInterval.start": "ISO8601Interval",
    "ScheduleStartDurationInstant.start": "ISO8601Instant",
    "ScheduleStartDurationInterval.start": "ISO8601Interval",
    "RequestedScheduleItem.start": "ISO8601Interval",
    "duration": "ISO8601Duration",
}
