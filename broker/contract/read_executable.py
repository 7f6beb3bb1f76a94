"""From a container on the wire to the container that a platform is asked to run."""

from __future__ import annotations

import re

from broker.contract.executable import DockerContainer, DockerImage, DockerNetwork
from broker.contract.executable import Executable as WireExecutable
from broker.contract.reasons import Reasons
from broker.contract.wire import quote
from broker.model import Executable

# what may stand in an image reference: no blanks, and no leading "-", which a command line takes as an option
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*", re.ASCII)
# OCI image specification, "Digests"
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+", re.ASCII)
_HEX_DIGITS = {"sha256": 64, "sha512": 128}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_PROTOCOLS = ("UDP", "TCP", "HTTP", "HTTPS")


def read_executable(wire: WireExecutable | None, reasons: Reasons) -> Executable | None:
    """The executable, or None with the reasons. Whether a site can run it is for the site to say."""
    path = "/executable"
    if wire is None:
        reasons.no("executable-required", path, "an executable is required, and the request names none")
        return None
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
    _check_network(wire.network, reasons)
    return Executable(
        name=wire.meta.name if wire.meta else None,
        locations=locations,
        digest=image.digest,
        architecture=architecture or "amd64",
        os=os,
        privileged=bool(wire.privileged),
        entrypoint=wire.entrypoint,
        command=tuple(wire.command or ()),
        environment=dict(wire.environment or {}),
    )


def _check_image(image: DockerImage, locations: tuple[str, ...], reasons: Reasons) -> None:
    path = "/executable/image"
    if not locations:
        template = "an image location is required, such as {example}"
        reasons.no("missing-value", f"{path}/locations", template, example="docker.io/library/alpine:3.22")
    for index, location in enumerate(locations):
        if not _IMAGE.fullmatch(location):
            template = "{location} is no image reference of the form repository/namespace/container:tag"
            reasons.no("invalid-value", f"{path}/locations/{index}", template, location=quote(location))
    if image.digest is not None:
        algorithm, _, value = image.digest.partition(":")
        digits = _HEX_DIGITS.get(algorithm)
        wrong = digits is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", value)
        if wrong or not _DIGEST.fullmatch(image.digest):
            template = "{digest} is no image digest: sha256: and 64 hexadecimal digits are expected"
            reasons.no("invalid-value", f"{path}/digest", template, digest=quote(image.digest))


def _check_network(network: DockerNetwork | None, reasons: Reasons) -> None:
    ports = (network.ports if network else None) or []
    for index, port in enumerate(ports):
        path = f"/executable/network/ports/{index}"
        if port.protocol is not None and port.protocol not in _PROTOCOLS:
            template = "network protocol {protocol} is not known: {known} are"
            known = ", ".join(_PROTOCOLS)
            reasons.no(
                "invalid-value", f"{path}/protocol", template, protocol=quote(port.protocol), known=known
            )
        number = port.internal.port if port.internal else None
        if number is not None and not 0 < number < 65536:
            template = "network port {port} does not exist: 1 to 65535 do"
            reasons.no("invalid-value", f"{path}/internal/port", template, port=number)
        if port.external is not None:
            template = "the external side of a port is the service's to fill: leave it out"
            reasons.no("not-supported", f"{path}/external", template)
    if ports:
        template = "ports are not published yet: the container runs, but no connector will lead to it"
        reasons.warn("not-built", "/executable/network/ports", template)
