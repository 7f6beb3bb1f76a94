"""Which addresses may be fetched from. Nothing is sent here: names are looked up in a table."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from netprobe.addresses import (
    Allowed,
    ForbiddenError,
    UnknownHostError,
    allowed_from,
    is_public,
    targets,
)

PUBLIC = ["8.8.8.8", "192.0.1.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:192.168.0.1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


def table(**names: list[str]) -> Any:
    """A resolver that knows `names`, and literal addresses in the forms that the C library takes."""

    def resolve(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        if host not in names:
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **more)
        found = []
        for text in names[host]:
            family = socket.AF_INET6 if ":" in text else socket.AF_INET
            found.append((family, socket.SOCK_STREAM, 6, "", (text, port)))
        return found

    return resolve


def ask(host: str, allowed: Allowed | None = None, port: int = 80, /, **names: list[str]) -> list[str]:
    found = targets(host, port, allowed or Allowed(), table(**names))
    return [str(address[0]) for _, address in found]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert ask("name", name=[address]) == [address]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public(address: str) -> None:
    with pytest.raises(ForbiddenError, match=r"^name \(.*\) is no public address"):
        ask("name", name=[address])


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "2852039166", "0xa9.0xfe.0251.254", "012.0.0.1"],
)
def test_other_ways_to_write_an_address_are_no_way_around(host: str) -> None:
    with pytest.raises(ForbiddenError):
        ask(host)


def test_all_addresses_of_a_name_must_be_allowed() -> None:
    assert ask("name", name=["8.8.8.8", "8.8.4.4"]) == ["8.8.8.8", "8.8.4.4"]
    for answer in (["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"]):
        with pytest.raises(ForbiddenError, match=r"name \(10\.0\.0\.1\)"):
            ask("name", name=answer)


@pytest.mark.parametrize("host", ["", "a" * 300, "a..b", "\udcff", "x\0y"])
def test_what_can_not_be_looked_up_is_unknown(host: str) -> None:
    with pytest.raises(UnknownHostError):
        ask(host)


def test_a_name_without_an_address_is_unknown() -> None:
    with pytest.raises(UnknownHostError):
        ask("name", name=[])


@pytest.mark.parametrize(
    ("pattern", "host", "port"),
    [
        ("data.site", "data.site", 80),
        ("data.site", "DATA.site", 80),
        ("*.site", "data.site", 8080),
        ("data.site:8080", "data.site", 8080),
        ("data.site:*", "data.site", 8080),
    ],
)
def test_a_site_s_own_storage_may_be_anywhere(pattern: str, host: str, port: int) -> None:
    for address in ("127.0.0.1", "10.0.0.1", "fe80::1"):
        assert ask(host, Allowed(hosts=(pattern,)), port, **{host: [address]}) == [address]


@pytest.mark.parametrize("pattern", ["other.site", "data.site:81", "data", "data.site.", "site"])
def test_another_host_or_port_is_not_the_site_s_storage(pattern: str) -> None:
    with pytest.raises(ForbiddenError):
        ask("data.site", Allowed(hosts=(pattern,)), 80, **{"data.site": ["10.0.0.1"]})


def test_the_storage_of_other_sites_may_be_private_and_nothing_of_this_machine_s() -> None:
    allowed = Allowed(peers=("data.site",))
    for address in ("10.0.0.1", "fd00::1", "8.8.8.8"):
        assert ask("data.site", allowed, 80, **{"data.site": [address]}) == [address]
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0", "::"):
        with pytest.raises(ForbiddenError):
            ask("data.site", allowed, 80, **{"data.site": [address]})
    for address in ("64:ff9b::169.254.169.254", "2002:7f00:1::1", "224.0.0.1"):
        with pytest.raises(ForbiddenError):
            ask("data.site", allowed, 80, **{"data.site": [address]})


def test_networks_are_allowed_as_a_policy_names_them() -> None:
    allowed = Allowed(networks=("10.20.0.0/16", "fd00:1::/32"))
    for address in ("10.20.3.4", "::ffff:10.20.3.4", "fd00:1::7"):
        assert ask("name", allowed, name=[address]) == [address]
    for address in ("10.21.0.1", "fd00:2::7", "127.0.0.1", "64:ff9b::10.20.3.4"):
        with pytest.raises(ForbiddenError):
            ask("name", allowed, name=[address])


def test_who_vouches_for_a_url_allows_everything() -> None:
    assert targets("127.0.0.1", 80, None)[0][1] == ("127.0.0.1", 80)


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_is_no_more_public_than_the_ipv4_address_in_it(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    assert is_public(mapped) == is_public(nat64) == is_public(six_to_four) == is_public(inner)


@given(st.ip_addresses())
def test_what_leads_to_the_internet_is_unicast_and_assigned_for_it(address: Any) -> None:
    assume(is_public(address))
    for word in ("multicast", "loopback", "link_local", "unspecified"):
        assert not getattr(address, f"is_{word}")
    assert address.version == 6 or not address.is_private


def test_as_json_and_back() -> None:
    allowed = Allowed(("a",), ("b:*",), ("10.0.0.0/8",))
    assert allowed_from(allowed.document()) == allowed
    with pytest.raises(ValueError):
        allowed_from({"hosts": [], "peers": [], "networks": ["10.0.0.1/8"]})
