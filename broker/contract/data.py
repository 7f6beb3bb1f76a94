"""Data resources: what the executable reads, and where it lies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Tag

from broker.contract import kinds
from broker.contract.common import LifecycleComponent, UnknownComponent
from broker.contract.wire import UNKNOWN, Int32, Int64, Wire, by_kind


class DataResource(LifecycleComponent):
    """AbstractDataResource."""

    storage: str | None = None  # name or uuid of the storage that it goes to


class SimpleData(DataResource):
    location: str | None = None


class S3Data(DataResource):
    endpoint: str | None = None
    template: str | None = None
    bucket: str | None = None
    object: str | None = None  # the whole bucket where it is left out


ObjectType = Literal["FILE", "CONTAINER", "DATASET"]


class RucioBlock(Wire):
    endpoint: str | None = None
    scope: str | None = None
    object: str | None = None
    type: ObjectType | None = None


class RucioData(DataResource):
    rucio: RucioBlock | None = None


class ObsCore(Wire):
    obs_id: str | None = None
    obs_collection: str | None = None
    obs_publisher_did: str | None = None
    obs_creator_did: str | None = None
    dataproduct_type: str | None = None
    calib_level: Int32 | None = None
    access_url: str | None = None
    access_format: str | None = None


class DataLink(Wire):
    ID: str | None = None
    access_url: str | None = None
    service_def: str | None = None
    error_message: str | None = None
    description: str | None = None
    semantics: str | None = None
    content_type: str | None = None
    content_length: Int32 | None = None
    content_qualifier: str | None = None
    local_semantics: str | None = None
    link_auth: str | None = None
    link_authorized: str | None = None


class IvoaBlock(Wire):
    ivoid: str | None = None
    obscore: ObsCore | None = None
    datalink: DataLink | None = None


class IvoaData(DataResource):
    ivoa: IvoaBlock | None = None


class SkaoChecksum(Wire):
    type: str | None = None
    value: str | None = None


class SkaoReplica(Wire):
    rsename: str | None = None
    dataurl: str | None = None


class SkaoBlock(Wire):
    namespace: str | None = None
    objectname: str | None = None
    objecttype: ObjectType | None = None
    datasize: Int64 | None = None
    checksum: SkaoChecksum | None = None
    replicas: list[SkaoReplica] | None = None


class SkaoData(DataResource):
    ivoa: IvoaBlock | None = None
    skao: SkaoBlock | None = None


Data = Annotated[
    Annotated[SimpleData, Tag("kind:simple-data-resource")]
    | Annotated[S3Data, Tag("kind:S3-data-resource")]
    | Annotated[RucioData, Tag("kind:rucio-data-resource")]
    | Annotated[IvoaData, Tag("kind:ivoa-data-resource")]
    | Annotated[SkaoData, Tag("kind:skao-data-resource")]
    | Annotated[UnknownComponent, Tag(UNKNOWN)],
    by_kind(
        {
            kinds.SIMPLE_DATA: "kind:simple-data-resource",
            kinds.S3_DATA: "kind:S3-data-resource",
            kinds.RUCIO_DATA: "kind:rucio-data-resource",
            kinds.IVOA_DATA: "kind:ivoa-data-resource",
            kinds.SKAO_DATA: "kind:skao-data-resource",
        }
    ),
]
