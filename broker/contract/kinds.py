"""The URIs that name each kind of component on the wire."""

from __future__ import annotations

BASE = "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/"

DOCKER_CONTAINER = BASE + "executable/docker-container.yaml"
SINGULARITY_CONTAINER = BASE + "executable/singularity-container.yaml"
JUPYTER_NOTEBOOK = BASE + "executable/jupyter-notebook.yaml"
SIMPLE_COMPUTE = BASE + "compute/simple-compute-resource.yaml"
SIMPLE_STORAGE = BASE + "storage/simple-storage-resource.yaml"
SIMPLE_VOLUME = BASE + "volume/simple-volume-mount.yaml"
SIMPLE_DATA = BASE + "data/simple-data-resource.yaml"
S3_DATA = BASE + "data/S3-data-resource.yaml"
RUCIO_DATA = BASE + "data/rucio-data-resource.yaml"
IVOA_DATA = BASE + "data/ivoa-data-resource.yaml"
SKAO_DATA = BASE + "data/skao-data-resource.yaml"
ABSTRACT_COST = BASE + "costs/abstract-cost-item.yaml"
MINMAX_COST = BASE + "costs/simple-minmax-float-cost.yaml"
ABSTRACT_METRIC = BASE + "metrics/abstract-metric-item.yaml"
MINMAX_METRIC = BASE + "metrics/simple-minmax-float-metric.yaml"
SCHEDULED_SESSION = BASE + "session/scheduled-execution-session.yaml"
# the contract names no kind for an offer set; the reference broker sends this one
OFFERSET = BASE + "offerset/execution-offerset.yaml"

STRING_VALUE_OPTION = "uri:string-value-option"
ENUM_VALUE_OPTION = "uri:enum-value-option"
INTEGER_VALUE_OPTION = "uri:integer-value-option"
INTEGER_DELTA_OPTION = "uri:integer-delta-option"
STRING_VALUE_UPDATE = "uri:string-value-update"
ENUM_VALUE_UPDATE = "uri:enum-value-update"
INTEGER_VALUE_UPDATE = "uri:integer-value-update"
INTEGER_DELTA_UPDATE = "uri:integer-delta-update"

LOGS_CONNECTOR = "urn:fairlead:connector:logs"
STORAGE_CONNECTOR = "urn:fairlead:connector:storage"
PORT_CONNECTOR = "urn:fairlead:connector:port"


def short(kind: str) -> str:
    """The last part of a kind's URI without its ending: "simple-data-resource"."""
    return kind.rstrip("/").rpartition("/")[2].removesuffix(".yaml")
