"""Requests of every kind that the contract has, right and wrong, for property tests."""

from hypothesis import strategies as st

from broker.contract import kinds
from tests.broker.conftest import DIGEST

NAMES = st.sampled_from(["a", "b", "sky map.fits", "Ünïcode", "http://ada:pw@x.example/y?sig=1"])
UUIDS = st.sampled_from(["c3b06fb6-fe73-4b06-88a7-a09e015306cd", "C3B06FB6FE734B0688A7A09E015306CD", "x"])
REFERENCES = NAMES | UUIDS
PATHS = st.sampled_from(["/in", "/in/a", "/data", "/data/a", "/out/", "/proc", "x"])
SIZES = st.fixed_dictionaries({}, optional={"min": st.integers(0, 4), "max": st.integers(1, 2**62)})
URLS = st.sampled_from(
    ["http://data.perth.example/a", "https://x.example/y?sig=1", "http://ada:pw@x.example/y", "ftp://x/y", ""]
)
META = st.fixed_dictionaries(
    {}, optional={"name": NAMES, "uuid": UUIDS, "description": NAMES, "url": URLS, "created": NAMES}
)


def component(kind, **members):
    """A component whose members are there or not."""
    return st.fixed_dictionaries({"kind": st.just(kind)}, optional={"meta": META, **members})


def some(**members):
    return st.fixed_dictionaries({}, optional=members)


PORTS = some(
    access=st.booleans(),
    internal=some(port=st.sampled_from([-1, 22, 53, 8888, 70000])),
    external=some(port=st.just(80)),
    protocol=st.sampled_from(["TCP", "UDP", "HTTP", "HTTPS", "GOPHER"]),
    path=st.sampled_from(["", "lab", "/a?b"]),
)
DOCKER = component(
    kinds.DOCKER_CONTAINER,
    image=some(
        locations=st.lists(st.sampled_from(["example.org/a:1", "-v", "b"]), max_size=2),
        digest=st.sampled_from([DIGEST, "sha256:zz"]),
        platform=some(
            architecture=st.sampled_from(["amd64", "arm64"]), os=st.sampled_from(["linux", "os/2"])
        ),
    ),
    privileged=st.booleans(),
    command=st.lists(NAMES, max_size=2),
    entrypoint=NAMES,
    environment=st.dictionaries(st.sampled_from(["A", "B C"]), NAMES, max_size=2),
    network=some(ports=st.lists(PORTS, max_size=3)),
    phase=st.just("RUNNING"),
)
# right ones, so that most requests get further than the executable
CONTAINER = st.fixed_dictionaries(
    {
        "kind": st.just(kinds.DOCKER_CONTAINER),
        "image": st.just({"locations": ["example.org/a:1"], "digest": DIGEST}),
    },
    optional={
        "meta": META,
        "environment": st.just({"TOKEN": "s3cret"}),
        "command": st.just(["--key", "s3cret"]),
        "network": st.just({"ports": [{"internal": {"port": 8888}, "protocol": "HTTP", "access": True}]}),
    },
)
EXECUTABLES = st.one_of(
    CONTAINER,
    CONTAINER,
    DOCKER,
    component(kinds.SINGULARITY_CONTAINER, location=st.just("docker://ghcr.io/a/b:1") | URLS),
    component(kinds.JUPYTER_NOTEBOOK, location=URLS),
    component("urn:java-program"),
)
VOLUMES = component(
    kinds.SIMPLE_VOLUME, path=PATHS, mode=st.sampled_from(["READONLY", "READWRITE"]), resource=REFERENCES
)
COMPUTE = component(
    kinds.SIMPLE_COMPUTE, cores=SIZES, memory=SIZES, volumes=st.lists(VOLUMES, max_size=2)
) | component("urn:quantum-computer")
STORAGE = component(kinds.SIMPLE_STORAGE, size=SIZES, data=st.lists(REFERENCES, max_size=1)) | component(
    "urn:tape"
)
IVOA = some(
    ivoid=st.sampled_from(["ivo://example.org/a", "doi:1"]),
    obscore=some(access_url=URLS, obs_id=NAMES, calib_level=st.integers(0, 4)),
    datalink=some(access_url=URLS, content_length=st.integers(-1, 2**31 - 1), ID=NAMES),
)
SKAO = some(
    namespace=NAMES,
    objectname=NAMES,
    objecttype=st.sampled_from(["FILE", "DATASET"]),
    datasize=st.integers(-1, 2**40),
    checksum=some(type=st.sampled_from(["sha256", "crc"]), value=st.just("ab" * 32)),
    replicas=st.lists(some(rsename=st.sampled_from(["PERTH-DISK", "MOON"]), dataurl=URLS), max_size=2),
)
DATA = st.one_of(
    component(kinds.SIMPLE_DATA, storage=REFERENCES, location=URLS),
    component(
        kinds.S3_DATA,
        storage=REFERENCES,
        endpoint=URLS,
        template=st.sampled_from(["{endpoint}/{bucket}/{object}", "https://{bucket}.x.example/{key}", ""]),
        bucket=st.sampled_from(["sky", "a/b"]),
        object=NAMES,
    ),
    component(
        kinds.RUCIO_DATA,
        storage=REFERENCES,
        rucio=some(endpoint=URLS, scope=NAMES, object=NAMES, type=st.sampled_from(["FILE", "CONTAINER"])),
    ),
    component(kinds.IVOA_DATA, storage=REFERENCES, ivoa=IVOA),
    component(kinds.SKAO_DATA, storage=REFERENCES, ivoa=IVOA, skao=SKAO),
    component("urn:papyrus"),
)
LIMITS = some(min=st.floats(0, 2), max=st.floats(1, 3), type=st.just("urn:x"))
REQUESTS = st.fixed_dictionaries(
    {"executable": EXECUTABLES},
    optional={
        "compute": COMPUTE,
        "storage": st.lists(STORAGE, max_size=2),
        "data": st.lists(DATA, max_size=2),
        "schedule": some(
            requested=some(duration=st.sampled_from(["PT1H", "P1M", "x"]), start=st.just("2026-11-26/P1D"))
        ),
        "costs": st.lists(LIMITS.map({"kind": kinds.MINMAX_COST}.__or__), max_size=1),
        "metrics": st.lists(LIMITS.map({"kind": kinds.MINMAX_METRIC}.__or__), max_size=1),
        "nonsense": NAMES,
    },
)
SECRET = "http://ada.example/y?sig=1"
RIGHT_EXECUTABLES = st.one_of(
    CONTAINER,
    st.just({"kind": kinds.SINGULARITY_CONTAINER, "location": "docker://ghcr.io/a/b:1"}),
    st.just({"kind": kinds.SINGULARITY_CONTAINER, "location": SECRET}),
    st.just({"kind": kinds.JUPYTER_NOTEBOOK, "location": SECRET}),
)
S3 = {"kind": kinds.S3_DATA, "endpoint": "https://s3.example", "bucket": "sky"}
RUCIO = {"scope": "sky", "object": "a", "type": "FILE"}
ROWS = {"ivoid": "ivo://example.org/a", "datalink": {"access_url": SECRET, "content_length": 7}}
REPLICAS = [{"rsename": "PERTH-DISK", "dataurl": SECRET}]
RIGHT_DATA = st.sampled_from(
    [
        {"kind": kinds.SIMPLE_DATA, "location": SECRET},
        S3,
        S3 | {"object": "a b", "template": "{endpoint}/{bucket}/{object}?sig=1"},
        {"kind": kinds.RUCIO_DATA, "rucio": RUCIO},
        {"kind": kinds.IVOA_DATA, "ivoa": ROWS},
        {"kind": kinds.SKAO_DATA, "skao": {"objectname": "a", "datasize": 2**31, "replicas": REPLICAS}},
    ]
)


@st.composite
def right_requests(draw):
    """Requests that can be done: data with and without storage, mounted or not."""
    data = [
        one | {"meta": {"name": f"d{index}", "description": SECRET}}
        for index, one in enumerate(draw(st.lists(RIGHT_DATA, max_size=3)))
    ]
    storage = [
        {"kind": kinds.SIMPLE_STORAGE, "meta": {"name": name}, "size": {"min": 2}}
        for name in draw(st.sets(st.sampled_from(["s0", "s1"])))
    ]
    names = [one["meta"]["name"] for one in storage]
    for one in data:
        if names and draw(st.booleans()):
            one["storage"] = draw(st.sampled_from(names))
    volumes = [
        {
            "kind": kinds.SIMPLE_VOLUME,
            "resource": name,
            "mode": draw(st.sampled_from(["READONLY", "READWRITE"])),
        }
        | {"path": f"/mnt/{name}"}
        for name in [*names, *(one["meta"]["name"] for one in data)]
        if draw(st.booleans())
    ]
    compute = {"kind": kinds.SIMPLE_COMPUTE, "meta": {"name": "c"}, "volumes": volumes}
    return {
        "executable": draw(RIGHT_EXECUTABLES),
        "compute": compute,
        "storage": storage,
        "data": data,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["kind", "executable", "data"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)
