"""The iperf3 tool: its options and command line, and real tests on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.errors import InputError
from federation.hosts import LocalHost, SshHost
from netprobe.measurement import Measurement
from netprobe.tools import Endpoint
from netprobe.tools.iperf3 import Iperf3
from netprobe.tools.iperf3_options import arguments, options
from tests.netprobe.servers import iperf3_server, loopback_test
from tests.waiting import SECONDS, until

LOGIN = {"username": "ada", "public_key": "/k.pem", "password_variable": "SECRET"}


def run(port: int, **parameters: Any) -> Measurement:
    return asyncio.run(Iperf3().run(loopback_test(port, **{"duration": 1, **parameters})))


def test_the_command_says_what_was_asked() -> None:
    asked = {
        "duration": "3 s",
        "omit": 1,
        "streams": 4,
        "congestion": "bbr",
        "bitrate": "10 Mbit/s",
    }
    command = arguments(Endpoint("a", LocalHost(), "192.0.2.1", 5202), options("iperf3", asked), 1.5)
    assert " ".join(command) == (
        "iperf3 -J -c 192.0.2.1 -p 5202 -t 3 -P 4 --connect-timeout 1500 -O 1 -C bbr -b 10000000"
    )


def test_the_command_says_what_else_was_asked() -> None:
    asked: dict[str, Any] = {
        "window": "4 MiB",
        "mss": 1400,
        "fq_rate": "1 Gbit/s",
        "bind": "192.0.2.7",
        "ip_version": 4,
    }
    asked |= {"bidirectional": True, "pkcs1_padding": True, "duration": 1} | LOGIN
    command = arguments(Endpoint("a", LocalHost(), "192.0.2.1"), options("iperf3", asked), 1.0)
    assert " ".join(command[12:]) == (
        "--fq-rate 1000000000 -w 4194304 -M 1400 -B 192.0.2.7 --username ada --rsa-public-key-path /k.pem"
        " --bidir -4 --use-pkcs1-padding"
    )
    asked = {"udp": True, "reverse": True, "ip_version": 6, "duration": 1}
    command = arguments(Endpoint("a", LocalHost(), "2001:db8::1"), options("iperf3", asked), 1.0)
    assert command[12:] == ["-u", "-R", "-6"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"durations": 3}, "unknown parameter 'durations': expected one of bidirectional, bind, bitrate"),
        ({"duration": "1.5 s"}, "duration: expected whole seconds, at least 1, got 1.5 s"),
        ({"duration": 0}, "duration: expected whole seconds"),
        ({"duration": "soon"}, "expected"),
        ({"streams": 0}, "streams: expected a whole number from 1 to 128, got 0"),
        ({"streams": True}, "streams: expected a whole number"),
        ({"udp": "yes"}, "udp: expected true or false, got 'yes'"),
        ({"congestion": "-R"}, "congestion: expected a name, got '-R'"),
        ({"bitrate": -1}, "bitrate: expected a rate"),
        ({"window": 0}, "window: expected a size from 1 to 536870912 bytes, got 0"),
        ({"mss": "1 MB"}, "mss: expected a size from 1 to 9216 bytes, got 1000000"),
        ({"ip_version": 5}, "ip_version: expected 4 or 6, got 5"),
        ({"reverse": True, "bidirectional": True}, "reverse and bidirectional: choose one"),
        ({"udp": True, "congestion": "bbr"}, "congestion: UDP has no congestion control"),
        ({"password": "hunter2"}, "password: not in a plan, name a password_file or a password_variable"),
        ({"username": "ada"}, "authentication: expected username, public_key and one of password_file and"),
        (LOGIN | {"password_file": "/f"}, "authentication: expected username, public_key and one of"),
        ({"pkcs1_padding": True}, "pkcs1_padding: only with username"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Iperf3().check(parameters)
    assert said in str(caught.value)


def test_a_busy_server_is_tried_again_within_the_time_limit() -> None:
    async def both() -> list[Any]:
        with iperf3_server() as (_, port):
            tests = [loopback_test(port, 300.0, duration=1), loopback_test(port, 300.0, duration=1)]
            return await asyncio.gather(*(Iperf3().run(test) for test in tests))

    assert [result.error for result in asyncio.run(both())] == [None, None]


def test_a_server_busy_to_the_end_is_said_so() -> None:
    async def both() -> Any:
        with iperf3_server() as (_, port):
            long = asyncio.ensure_future(Iperf3().run(loopback_test(port, 600.0, duration=500)))
            await asyncio.to_thread(until, lambda: iperf3_is_busy(port), "data flows")
            # long enough to be turned away once, however busy the machine
            short = await Iperf3().run(loopback_test(port, 5.0, duration=1))
            # nobody has disturbed it
            assert not long.done()
            long.cancel()
            await asyncio.gather(long, return_exceptions=True)
            return short

    short = asyncio.run(both())
    assert "is busy with another test" in short.error


def iperf3_is_busy(port: int) -> bool:
    """Whether a connection to the server stands (state 01 in the kernel's table)."""
    wanted = f":{port:04X} 0100007F:"
    table = Path("/proc/net/tcp").read_text()
    return any(wanted in line and line.split()[3] == "01" for line in table.splitlines()[1:])


def test_reversed_the_data_flows_the_same_way() -> None:
    async def run() -> Any:
        with iperf3_server() as (_, port):
            test = loopback_test(0, duration=1, reverse=True)
            server = Endpoint("here", LocalHost(), "127.0.0.1", port)
            return await Iperf3().run(replace(test, source=server))

    result = asyncio.run(run())
    assert result.error is None
    assert (result.source, result.destination) == ("here", "there")
    assert "rtt_seconds" not in result.figures
    assert result.raw["start"]["test_start"]["reverse"] == 1


def test_in_both_directions_one_run_has_both_rates() -> None:
    with iperf3_server() as (_, port):
        result = run(port, bidirectional=True, bitrate="20 Mbit/s")
    assert result.error is None
    assert result.raw is not None
    # a busy machine sends less than it was asked for, and not the same in both directions
    received = [
        result.raw["end"][each]["bits_per_second"] for each in ("sum_received", "sum_received_bidir_reverse")
    ]
    assert received == [result.figures["bits_per_second"], result.context["opposite"]["bits_per_second"]]
    assert min(received) > 0


def test_window_segment_pacing_and_address_are_as_asked() -> None:
    with iperf3_server() as (_, port):
        asked = {"window": "64 KiB", "mss": 1000, "bind": "127.0.0.1", "ip_version": 4, "congestion": "reno"}
        result = run(port, fq_rate="30 Mbit/s", **asked)
    assert result.error is None
    assert result.figures["bits_per_second"] < 33e6
    assert result.context["sender_congestion"] == "reno"
    assert result.context["send_buffer_bytes"] == 2 * 65536
    assert result.raw is not None
    assert result.raw["start"]["sock_bufsize"] == 65536


def test_how_it_was_measured_is_kept_and_what_explains_it() -> None:
    with iperf3_server() as (_, port):
        result = run(port, bitrate="8 Mbit/s")
    assert result.raw is not None
    assert result.parameters["rate"] == "received"
    assert (result.parameters["protocol"], result.parameters["ip_version"]) == ("tcp", 4)
    assert result.context["attempts"] == 1
    assert result.context["server_iperf3"] == result.context["iperf3"]
    for end in ("source", "destination"):
        found = result.context[end]
        assert found["interface"] == "lo"
        # headers, too
        assert found["sent_bytes"] > result.raw["end"]["sum_received"]["bytes"] > 0
        assert 0 <= found["processors_percent"] <= 100
        assert len(found["tcp_wmem"]) == 3


def test_hosts_that_cannot_be_read_do_not_make_a_test_fail() -> None:
    class Bare:
        def argv(self, command: Sequence[str]) -> list[str]:
            return ["/nonexistent/grep"] if command[0] == "grep" else list(command)

    with iperf3_server() as (_, port):
        test = loopback_test(port, duration=1)
        test = replace(test, source=replace(test.source, host=Bare()))
        result = asyncio.run(Iperf3().run(test))
    assert result.error is None
    assert result.context["source"] == {}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"ip_version": 6}, "destination there: 127.0.0.1 is no IPv6 address"),
        ({"bind": "::1"}, "source here: bind: ::1 and 127.0.0.1 are of different families"),
        ({"bind": "192.0.2.77"}, "source here: bind: '192.0.2.77' is no address of this host"),
        ({"congestion": "nosuch"}, "source here: no congestion control 'nosuch' on this host"),
        ({"mss": 20}, "source here: mss: this host takes no segments of 20 bytes"),
        (LOGIN, "source here: no password in the environment variable SECRET"),
        (LOGIN | {"password_variable": "HOME"}, "source here: iperf3 can't read the public key '/k.pem'"),
    ],
)
def test_what_the_host_refuses_is_said(parameters: dict[str, Any], said: str) -> None:
    with iperf3_server() as (_, port):
        result = run(port, **parameters)
    assert result.error == said


def test_an_option_that_the_binary_does_not_know_is_said_before_the_test(tmp_path: Path) -> None:
    old = tmp_path / "iperf3"
    old.write_text("#!/bin/sh\necho '  -c, --client <host>' '-C, --congestion <algo>'\n")
    old.chmod(0o755)

    class Old:
        def argv(self, command: Sequence[str]) -> list[str]:
            return [str(old), *command[1:]] if command[0] == "iperf3" else list(command)

    test = loopback_test(1, duration=1, bidirectional=True, congestion="bbr")
    result = asyncio.run(Iperf3().run(replace(test, source=replace(test.source, host=Old()))))
    assert result.error == "source here: bidirectional: iperf3 on this host doesn't know --bidir"


def test_a_password_does_not_go_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    sides = loopback_test(1, SECONDS, duration=1, **LOGIN)
    test = replace(sides, source=replace(sides.source, host=SshHost("127.0.0.1", port=1)))
    result = asyncio.run(Iperf3().run(test))
    assert result.error == "source here: a password can only be handed to iperf3 on this machine"


@contextlib.contextmanager
def guarded_server(directory: Path) -> Iterator[int]:
    """A server that knows ada by the password "hunter2"; `public.pem` is in `directory`."""
    private, public, users = (directory / name for name in ("private.pem", "public.pem", "users.csv"))
    make = [
        "openssl",
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        str(private),
    ]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    users.write_text(f"ada,{hashlib.sha256(b'{ada}hunter2').hexdigest()}\n")
    options = ["--rsa-private-key-path", str(private), "--authorized-users-path", str(users)]
    with iperf3_server(*options) as (_, port):
        yield port


def test_who_has_the_password_may_measure_and_it_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    monkeypatch.setenv("WRONG", "letmein")
    login = {"username": "ada", "public_key": str(tmp_path / "public.pem")}
    with guarded_server(tmp_path) as port:
        right = run(port, password_file=str(secret), **login)
        wrong = run(port, password_variable="WRONG", **login)
        none = run(port)
    assert right.error is None
    assert "hunter2" not in json.dumps([right.raw, dict(right.parameters), dict(right.context)])
    for refused, why in ((wrong, "user, password, key or clock is wrong"), (none, "it asks for a login")):
        assert refused.error is not None
        assert "authentication: " in refused.error or "before the test: " in refused.error
        assert why in refused.error
