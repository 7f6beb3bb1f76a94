"""What an iperf3 test may be told, read from a plan's parameters, and the client's command line for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import InputError
from netprobe.tools import Endpoint, _parameters

NAMES = (
    "duration",
    "streams",
    "omit",
    "congestion",
    "udp",
    "bitrate",
    "reverse",
    "bidirectional",
    "fq_rate",
    "window",
    "mss",
    "bind",
    "ip_version",
    "username",
    "public_key",
    "password_file",
    "password_variable",
    "pkcs1_padding",
)
# options that not every release or build has, as its own --help names them, and what asks for them
OPTIONAL = {
    "--congestion": "congestion",
    "--bidir": "bidirectional",
    "--fq-rate": "fq_rate",
    "--username": "username",
    "--use-pkcs1-padding": "pkcs1_padding",
}


@dataclass(frozen=True)
class Options:
    """What an iperf3 test is told.

    `reverse`: the client runs at the destination and asks the source's server to send, for destinations
    whose port can't be reached. The data flows from source to destination all the same.
    `bidirectional`: both send at once; the result is that of source to destination, under that load.
    """

    duration_seconds: int = 5
    streams: int = 1
    # not counted, at the start: hides slow start
    omit_seconds: int = 0
    congestion: str | None = None
    udp: bool = False
    # of each stream, by the sender's own pauses
    bits_per_second: float | None = None
    reverse: bool = False
    bidirectional: bool = False
    # of each stream, by the kernel
    fq_bits_per_second: float | None = None
    window_bytes: int | None = None
    mss_bytes: int | None = None
    # the client's own address, for hosts that have several
    bind: str | None = None
    ip_version: int | None = None
    username: str | None = None
    # a path on the client's host
    public_key: str | None = None
    # where the password is: on this machine, never in a plan, on a command line or in a result
    password_file: str | None = None
    password_variable: str | None = None
    # where one side is older than 3.17 and the other isn't
    pkcs1_padding: bool = False


def options(tool: str, parameters: Mapping[str, Any]) -> Options:
    """Read the parameters. Raises InputError for unknown ones and for values that iperf3 would misread."""
    if "password" in parameters:
        raise InputError(
            f"{tool}: password: not in a plan, name a password_file or a password_variable instead"
        )
    _parameters.known(tool, parameters, NAMES)
    chosen = Options(
        duration_seconds=_parameters.whole_seconds(tool, parameters, "duration", 5, least=1),
        streams=_parameters.count(tool, parameters, "streams", 1, most=128),
        omit_seconds=_parameters.whole_seconds(tool, parameters, "omit", 0, least=0),
        congestion=_parameters.text(tool, parameters, "congestion"),
        udp=_parameters.flag(tool, parameters, "udp"),
        bits_per_second=_parameters.bits_per_second(tool, parameters, "bitrate"),
        reverse=_parameters.flag(tool, parameters, "reverse"),
        bidirectional=_parameters.flag(tool, parameters, "bidirectional"),
        fq_bits_per_second=_parameters.bits_per_second(tool, parameters, "fq_rate"),
        window_bytes=_parameters.size_bytes(tool, parameters, "window", most=512 * 1024**2),
        mss_bytes=_parameters.size_bytes(tool, parameters, "mss", most=9216),
        bind=_parameters.text(tool, parameters, "bind"),
        ip_version=_parameters.one_of(tool, parameters, "ip_version", (4, 6)),
        username=_parameters.text(tool, parameters, "username"),
        public_key=_parameters.text(tool, parameters, "public_key"),
        password_file=_parameters.text(tool, parameters, "password_file"),
        password_variable=_parameters.text(tool, parameters, "password_variable"),
        pkcs1_padding=_parameters.flag(tool, parameters, "pkcs1_padding"),
    )
    _agree(tool, chosen)
    return chosen


def _agree(tool: str, chosen: Options) -> None:
    if chosen.reverse and chosen.bidirectional:
        raise InputError(f"{tool}: reverse and bidirectional: choose one, data flow both ways anyway")
    if chosen.udp and chosen.congestion:
        raise InputError(f"{tool}: congestion: UDP has no congestion control")
    has_password = (chosen.password_file is not None) + (chosen.password_variable is not None)
    given = (chosen.username is not None, chosen.public_key is not None, has_password)
    if given not in ((False, False, 0), (True, True, 1)):
        raise InputError(
            f"{tool}: authentication: expected username, public_key and one of password_file and"
            " password_variable, or none of them"
        )
    if chosen.pkcs1_padding and chosen.username is None:
        raise InputError(f"{tool}: pkcs1_padding: only with username")


def arguments(server: Endpoint, chosen: Options, connect_seconds: float) -> list[str]:
    """The command line of the client."""
    command = ["iperf3", "-J", "-c", server.address, "-p", str(server.port)]
    command += ["-t", str(chosen.duration_seconds), "-P", str(chosen.streams)]
    command += ["--connect-timeout", str(max(1, round(connect_seconds * 1000)))]
    pairs = {
        "-O": chosen.omit_seconds or None,
        "-C": chosen.congestion,
        "-b": None if chosen.bits_per_second is None else max(1, round(chosen.bits_per_second)),
        "--fq-rate": None if chosen.fq_bits_per_second is None else max(1, round(chosen.fq_bits_per_second)),
        "-w": chosen.window_bytes,
        "-M": chosen.mss_bytes,
        "-B": chosen.bind,
        "--username": chosen.username,
        "--rsa-public-key-path": chosen.public_key,
    }
    for option, value in pairs.items():
        command += [] if value is None else [option, str(value)]
    flags = {
        "-u": chosen.udp,
        "-R": chosen.reverse,
        "--bidir": chosen.bidirectional,
        "-4": chosen.ip_version == 4,
        "-6": chosen.ip_version == 6,
        "--use-pkcs1-padding": chosen.pkcs1_padding,
    }
    return command + [option for option, is_set in flags.items() if is_set]


def optional(chosen: Options) -> list[str]:
    """Which of OPTIONAL a test needs."""
    needed = {
        "--congestion": chosen.congestion is not None,
        "--bidir": chosen.bidirectional,
        "--fq-rate": chosen.fq_bits_per_second is not None,
        "--username": chosen.username is not None,
        "--use-pkcs1-padding": chosen.pkcs1_padding,
    }
    return [option for option in OPTIONAL if needed[option]]


def version_of(address: str) -> int | None:
    """4 or 6, or None for a name. An address may carry its interface ("fe80::1%eth0")."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).version
    except ValueError:
        return None
