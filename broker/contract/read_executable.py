"""From an executable on the wire to what a platform is asked to run."""

from __future__ import annotations

import re

from broker.catalogues.urls import wrong_with
from broker.contract.executable import (
    DockerContainer,
    DockerImage,
    DockerNetwork,
    DockerPort,
    JupyterNotebook,
    SingularityContainer,
)
from broker.contract.executable import Executable as WireExecutable
from broker.contract.reasons import Reasons
from broker.contract.wire import quote
from broker.model import Executable, ExecutableKind, Port

# what may stand in an image reference: no blanks, and no leading "-", which a command line takes as an option
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]*(?:@[A-Za-z0-9+._-]+:[A-Za-z0-9=_-]+)?", re.ASCII)
# OCI image specification, "Digests"
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+", re.ASCII)
_HEX_DIGITS = {"sha256": 64, "sha512": 128}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_PROTOCOLS = ("UDP", "TCP", "HTTP", "HTTPS")
# the path of an access URL: RFC 3986's characters, and nothing that starts a query or a fragment
_URL_PATH = re.compile(r"/?[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", re.ASCII)
# ports of one container: each takes one of the host's
PORT_LIMIT = 100
# where Singularity images come from, beside the web (https://docs.sylabs.io, "Pulling images")
_SINGULARITY = ("docker", "library", "oras", "shub")


def read_executable(wire: WireExecutable | None, reasons: Reasons) -> Executable | None:
    """The executable, or None with the reasons. Whether a site can run it is for the site to say."""
    path = "/executable"
    if wire is None:
        reasons.no("executable-required", path, "an executable is required, and the request names none")
        return None
    if isinstance(wire, SingularityContainer | JupyterNotebook):
        return _read_located(wire, reasons)
    if not isinstance(wire, DockerContainer):
        reasons.foreign_kind("executable", wire.kind, path, "docker-container")
        return None
    image = wire.image or DockerImage()
    locations = tuple(image.locations or ())
    _check_image(image, locations, reasons)
    if wire.privileged:
        reasons.no("not-supported", f"{path}/privileged", "privileged containers are not supported")
    os = image.platform.os if image.platform and image.platform.os is not None else "linux"
    if os != "linux":
        template = "operating system {os} is not supported: only linux is"
        reasons.no("invalid-value", f"{path}/image/platform/os", template, os=quote(os))
    architecture = image.platform.architecture if image.platform else None
    for name in wire.environment or {}:
        if not _VARIABLE.fullmatch(name):
            template = "{name} is no name of a variable: letters, digits, '_', '.' and '-' make one"
            reasons.no("invalid-value", f"{path}/environment", template, name=quote(name))
    ports = _read_ports(wire.network, reasons)
    return Executable(
        name=wire.meta.name if wire.meta else None,
        locations=locations,
        digest=image.digest,
        architecture="amd64" if architecture is None else architecture,
        os=os,
        privileged=bool(wire.privileged),
        entrypoint=wire.entrypoint,
        command=tuple(wire.command or ()),
        environment=dict(wire.environment or {}),
        ports=ports,
    )


def _read_located(wire: SingularityContainer | JupyterNotebook, reasons: Reasons) -> Executable:
    singularity = isinstance(wire, SingularityContainer)
    what = "a Singularity image" if singularity else "a notebook"
    location, path = wire.location, "/executable/location"
    if not location:
        reasons.no("missing-value", path, "the location of {what} is required", what=what)
    elif (wrong := _wrong_location(location, _SINGULARITY if singularity else ())) is not None:
        reasons.no("invalid-value", path, "the location of {what} {wrong}", what=what, wrong=wrong)
    return Executable(
        name=wire.meta.name if wire.meta else None,
        locations=(location,) if location else (),
        kind=ExecutableKind.SINGULARITY if singularity else ExecutableKind.NOTEBOOK,
    )


def _wrong_location(location: str, schemes: tuple[str, ...]) -> str | None:
    """Why nothing can be had there, by the web or by one of `schemes`; None where nothing is wrong."""
    scheme, _, rest = location.partition("://")
    if scheme not in schemes:
        return wrong_with(location)
    # what follows is a reference as engines have it, not quite a URL
    return None if _IMAGE.fullmatch(rest) else f"names no image after {scheme}://"


def _check_image(image: DockerImage, locations: tuple[str, ...], reasons: Reasons) -> None:
    path = "/executable/image"
    if not locations:
        template = "an image location is required, such as {example}"
        reasons.no("missing-value", f"{path}/locations", template, example="docker.io/library/alpine:3.22")
    for index, location in enumerate(locations):
        if not _IMAGE.fullmatch(location):
            # what stands before an @ may be a password, which is not to be repeated
            template = "{location} is no image reference of the form repository/namespace/container:tag"
            what = "what has an @ before anything but a digest" if "@" in location else quote(location)
            reasons.no("invalid-value", f"{path}/locations/{index}", template, location=what)
    if image.digest is not None:
        algorithm, _, value = image.digest.partition(":")
        digits = _HEX_DIGITS.get(algorithm)
        wrong = digits is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", value)
        if wrong or not _DIGEST.fullmatch(image.digest):
            template = "{digest} is no image digest: sha256: and 64 hexadecimal digits are expected"
            reasons.no("invalid-value", f"{path}/digest", template, digest=quote(image.digest))


def _read_ports(network: DockerNetwork | None, reasons: Reasons) -> tuple[Port, ...]:
    """The ports to publish. A port is one of TCP or of UDP: the same number may stand for one of each."""
    asked = (network.ports if network else None) or []
    if len(asked) > PORT_LIMIT:
        template = "{count} ports are more than the {limit} that one container may publish"
        path = "/executable/network/ports"
        reasons.no("resource-limit", path, template, count=len(asked), limit=PORT_LIMIT)
        return ()
    found: dict[tuple[int, bool], str] = {}
    ports = []
    for index, wire in enumerate(asked):
        path = f"/executable/network/ports/{index}"
        port = _read_port(wire, path, reasons)
        if port is None:
            continue
        transport = (port.internal, port.protocol == "UDP")
        if transport in found:
            template = "port {port} is published already: {other} is the other"
            other = found[transport]
            reasons.no(
                "duplicate-resource", f"{path}/internal/port", template, port=port.internal, other=other
            )
            continue
        found[transport] = path
        ports.append(port)
    return tuple(ports)


def _read_port(wire: DockerPort, path: str, reasons: Reasons) -> Port | None:
    protocol = wire.protocol if wire.protocol is not None else "TCP"
    right = protocol in _PROTOCOLS
    if not right:
        template = "network protocol {protocol} is not known: {known} are"
        known = ", ".join(_PROTOCOLS)
        reasons.no("invalid-value", f"{path}/protocol", template, protocol=quote(protocol), known=known)
    number = wire.internal.port if wire.internal else None
    if number is None:
        reasons.no("missing-value", f"{path}/internal/port", "a port needs the number that it has inside")
    elif not 0 < number < 65536:
        template = "network port {port} does not exist: 1 to 65535 do"
        reasons.no("invalid-value", f"{path}/internal/port", template, port=number)
        number = None
    if wire.external is not None:
        template = "the external side of a port is the service's to fill: leave it out"
        reasons.no("not-supported", f"{path}/external", template)
    where = wire.path or None
    if where is not None and not _URL_PATH.fullmatch(where):
        template = "{given} is no path of a URL: others than its characters must be percent-encoded"
        reasons.no("invalid-value", f"{path}/path", template, given=quote(where))
    if where is not None and protocol in ("TCP", "UDP"):
        template = "a path is of use for HTTP and HTTPS only: for {protocol} it was ignored"
        reasons.warn("ignored-value", f"{path}/path", template, protocol=protocol)
        where = None
    if number is None or not right:
        return None
    return Port(
        internal=number,
        protocol=protocol,
        path=None if where is None else "/" + where.lstrip("/"),
        access=bool(wire.access),
    )
