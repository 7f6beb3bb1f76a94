"""The lab's network: a namespace for each site, and a router namespace that joins them.

    fl-perth eth0 10.77.1.2 --- v1 10.77.1.1 fl-router v2 10.77.2.1 --- 10.77.2.2 eth0 fl-capetown
                                             |
                                            wan0 (TUN): every packet between two sites goes through it

Nothing here touches the machine's own network: links, addresses, routes and settings are made inside the
namespaces. The router has no way out, so packets never leave them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from federation.errors import OutsideError, one_line
from federation.hosts import NamespaceHost
from lab import state
from lab.description import Lab, Site

NAMESPACES = Path("/run/netns")
ROUTER = "router"
DEVICE = "wan0"
DEVICE_ADDRESS = "10.77.0.1"
# the routing table of packets that still have to cross the wide-area network
WAN_TABLE = 77
# a long haul at some hundred Mbit/s needs far larger windows than Linux allows by default
WINDOW_BYTES = 128 * 1024 * 1024
PROGRAMS = ("ip", "nsenter", "sysctl", "iperf3", "ping")

ROUTER_SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    f"net.ipv4.conf.{DEVICE}.rp_filter=0",
    "net.ipv4.icmp_ratelimit=0",
    # other kinds of packet would only be dropped by the emulator
    "net.ipv6.conf.all.disable_ipv6=1",
)
SITE_SETTINGS = (
    f"net.ipv4.tcp_rmem=4096 131072 {WINDOW_BYTES}",
    f"net.ipv4.tcp_wmem=4096 65536 {WINDOW_BYTES}",
    # one test must not start from what another one learnt
    "net.ipv4.tcp_no_metrics_save=1",
    "net.ipv6.conf.all.disable_ipv6=1",
)
# for a moment's work, on a machine that does much else
TRIAL_SECONDS = 60.0
CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"


def supported() -> str | None:
    """Why this machine can't hold a lab, in one line; None when it can."""
    if os.geteuid() != 0:
        return "the lab needs root (network namespaces)"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"the lab needs {', '.join(missing)}, not found on PATH"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"the lab needs /dev/net/tun: {error.strerror}"
    # a container's root may lack CAP_NET_ADMIN or CAP_SYS_ADMIN: try, in a throw-away namespace
    trial = ["unshare", "--net", "ip", "tuntap", "add", "dev", "trial", "mode", "tun"]
    try:
        done = subprocess.run(trial, capture_output=True, text=True, timeout=TRIAL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the lab needs network namespaces: {error}"
    if done.returncode != 0:
        return f"the lab needs network namespaces: {one_line(done.stderr)}"
    return None


def namespaces(lab_name: str, site_ids: Iterable[str]) -> list[str]:
    """The names of the lab's namespaces, router first."""
    return [f"{lab_name}-{ROUTER}", *(f"{lab_name}-{site_id}" for site_id in site_ids)]


def namespace_file(namespace: str) -> Path:
    """Where the kernel's handle of a namespace is."""
    return NAMESPACES / namespace


def exists(namespace: str) -> bool:
    """Whether the namespace is there (a file alone, left by a crash, is none)."""
    return os.path.ismount(namespace_file(namespace))


def _run(argv: Sequence[str], text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, pass_fds=state.held())
    if done.returncode != 0:
        raise OutsideError(f"{' '.join(argv)}: {one_line(done.stderr) or f'status {done.returncode}'}")
    return done.stdout


def _batch(namespace: str, lines: Iterable[str]) -> None:
    _run(["ip", "-n", namespace, "-batch", "-"], "\n".join(lines) + "\n")


def build(lab: Lab, lab_name: str) -> None:
    """Make all namespaces and links. Raises OutsideError; whatever was made by then is left for `remove`."""
    router, *others = namespaces(lab_name, lab.sites)
    # not with -n: a namespace made from inside another one is mounted where nobody finds it
    _run(["ip", "-batch", "-"], "".join(f"netns add {name}\n" for name in (router, *others)))
    _batch(router, _router_lines(lab, others))
    _settings(router, ROUTER_SETTINGS)
    for site, namespace in zip(lab.sites.values(), others, strict=True):
        _batch(namespace, _site_lines(lab, site))
        _settings(namespace, SITE_SETTINGS)
        _prefer_bbr(namespace)


def _router_lines(lab: Lab, site_namespaces: Sequence[str]) -> list[str]:
    lines = [
        "link set lo up",
        f"tuntap add dev {DEVICE} mode tun",
        f"addr add {DEVICE_ADDRESS}/32 dev {DEVICE}",
        f"link set {DEVICE} mtu {lab.mtu} txqueuelen 10000 up",
        f"route add default dev {DEVICE} table {WAN_TABLE}",
    ]
    for site, namespace in zip(lab.sites.values(), site_namespaces, strict=True):
        link = f"v{site.number}"
        lines += [
            f"link add {link} mtu {lab.mtu} type veth peer name eth0 mtu {lab.mtu} netns {namespace}",
            f"addr add {site.gateway}/24 dev {link}",
            f"link set {link} up",
            f"rule add iif {link} to {site.gateway}/32 lookup main pref {1000 + site.number}",
            f"rule add iif {link} lookup {WAN_TABLE} pref {2000 + site.number}",
        ]
    return lines


def _site_lines(lab: Lab, site: Site) -> list[str]:
    return [
        "link set lo up",
        f"addr add {site.address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {site.gateway}",
    ]


def _settings(namespace: str, settings: Sequence[str]) -> None:
    _run(NamespaceHost(namespace).argv(["sysctl", "-q", "-w", *settings]))


def _prefer_bbr(namespace: str) -> None:
    # a kernel without it keeps its default, which `congestion_control` reports
    argv = NamespaceHost(namespace).argv(["sysctl", "-q", "-w", f"{CONGESTION_CONTROL}=bbr"])
    subprocess.run(argv, capture_output=True, pass_fds=state.held())


def congestion_control(namespace: str) -> str:
    """The congestion control that TCP uses in this namespace. Raises OutsideError."""
    return _run(NamespaceHost(namespace).argv(["sysctl", "-n", CONGESTION_CONTROL])).strip()


def problems(lab: Lab, lab_name: str) -> list[str]:
    """What is missing of the network that `build` makes, a line for each; empty when it is whole."""
    router, *others = namespaces(lab_name, lab.sites)
    gone = [name for name in (router, *others) if not exists(name)]
    if gone:
        return [f"namespace {name} is missing" for name in gone]
    found = []
    links = _run(["ip", "-n", router, "-o", "-4", "addr", "show", "up"])
    rules = _run(["ip", "-n", router, "rule"])
    for site in lab.sites.values():
        link = f"v{site.number}"
        if f"{site.gateway}/24" not in links or f"iif {link} lookup {WAN_TABLE}" not in rules:
            found.append(f"{router}: link {link} is missing or down")
    if f"{DEVICE_ADDRESS}/32" not in links:
        found.append(f"{router}: {DEVICE} is missing or down")
    for site, namespace in zip(lab.sites.values(), others, strict=True):
        if f"{site.address}/24" not in _run(["ip", "-n", namespace, "-o", "-4", "addr", "show", "up"]):
            found.append(f"{namespace}: eth0 is missing or down")
        elif f"via {site.gateway}" not in _run(["ip", "-n", namespace, "route"]):
            found.append(f"{namespace}: the default route is missing")
    return found


def remove(names: Iterable[str]) -> None:
    """Remove these namespaces, and with them their links and routes. Missing ones are no error."""
    for name in names:
        file = namespace_file(name)
        if not file.exists():
            continue
        done = subprocess.run(
            ["ip", "netns", "del", name], capture_output=True, text=True, pass_fds=state.held()
        )
        if done.returncode != 0 and file.exists():
            raise OutsideError(f"ip netns del {name}: {one_line(done.stderr)}")


def listening(pid: int, port: int) -> bool:
    """Whether somebody listens on a TCP port in the network of process `pid`."""
    try:
        text = Path(f"/proc/{pid}/net/tcp").read_text() + Path(f"/proc/{pid}/net/tcp6").read_text()
    except OSError:
        return False
    rows = (line.split() for line in text.splitlines())
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows if len(row) > 3)
