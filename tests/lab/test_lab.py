"""The lab on a real kernel: up, repaired, changed, taken down, whatever is done to it meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from lab_commands import SMALL, at, command, namespaces, run

from federation.catalogue import load_federation
from federation.errors import InputError, OutsideError
from federation.hosts import NamespaceHost
from lab import lab, processes
from lab.status import recorded
from tests.waiting import until

pytestmark = pytest.mark.lab

FETCH = """
import hashlib, sys, urllib.request
content = urllib.request.urlopen(sys.argv[1]).read()
print(len(content), hashlib.sha256(content).hexdigest())
"""


def wait_for(condition: Callable[[], object]) -> None:
    """Return once `condition` holds; what is waited for is another process, which has no event to give."""
    until(condition, "what another process does", namespaces, seconds=300)


def nothing_left(own_lab: Path) -> bool:
    return not namespaces() and not own_lab.exists() and not list(own_lab.parent.parent.parent.rglob("*lab*"))


def ping(source: str, destination: str) -> bool:
    return at(source, ["ping", "-c", "1", "-W", "2", destination]).returncode == 0


def meets(source: str, destination: str) -> None:
    """Return once a ping is answered: what carries it may be late."""
    wait_for(lambda: ping(source, destination))


def test_up_and_down_by_command(own_lab: Path) -> None:
    done = run("up", "--description", str(SMALL), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["up"]
    assert document["state_dir"] == str(own_lab)
    assert document["congestion_control"]
    assert len(namespaces()) == 3
    assert run("status").returncode == 0
    pinging = command("exec", "alpha", "--", "sh", "-c", "ping -c 1 10.77.2.2 && exit 7")
    ran = subprocess.run(pinging, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 7, ran.stderr
    assert run("exec", "gamma", "true").returncode == 2
    assert run("down").returncode == 0
    assert nothing_left(own_lab)
    # once more is harmless; and a lab that isn't there is the answer "no"
    assert run("down").returncode == 0
    assert run("status").returncode == 1
    assert run("exec", "alpha", "true").returncode == 2
    assert nothing_left(own_lab)


def test_the_catalogue_names_hosts_and_storage_that_are_there(small_lab: lab.Status) -> None:
    federation = load_federation(small_lab.catalogue)
    beta = federation["beta"]
    assert beta.host == NamespaceHost(f"{small_lab.name}-beta")
    assert beta.iperf3_address == "10.77.2.2"
    assert beta.platform is not None
    assert Path(str(beta.platform.options["staging"])).is_dir()
    for file in json.loads((small_lab.state_dir / "files.json").read_text()):
        assert [federation.site_of_url(url).id for url in file["urls"]] == file["sites"]  # type: ignore[union-attr]


def test_storage_serves_its_files_to_the_other_sites(small_lab: lab.Status) -> None:
    file = next(file for file in small_lab.files if file["name"] == "table.dat")
    fetch = [sys.executable, "-c", FETCH, file["urls"][0]]
    assert at("alpha", fetch).stdout.split() == [str(file["size_bytes"]), file["sha256"]]


def test_packets_do_not_leave_the_lab(small_lab: lab.Status) -> None:
    # a documentation address (RFC 5737): there is no way to it
    assert at("alpha", ["ping", "-c", "1", "-W", "1", "192.0.2.1"]).returncode != 0
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True).stdout
    assert "10.77." not in routes


def test_an_iperf3_server_survives_a_client_that_is_killed(small_lab: lab.Status) -> None:
    client = subprocess.Popen(
        lab.host("alpha").argv(["iperf3", "-c", "10.77.2.2", "-t", "30", "--forceflush"]),
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        assert client.stdout is not None
        # the first interval is there: the test runs
        while "Mbits/sec" not in client.stdout.readline():
            pass
        client.kill()
    wait_for(lambda: at("alpha", ["iperf3", "-c", "10.77.2.2", "-n", "100K"]).returncode == 0)


def test_a_changed_description_changes_the_paths_of_the_running_lab(own_lab: Path) -> None:
    lab.up(SMALL)
    emulator = recorded("emulator")
    own = own_lab / "lab.toml"
    own.write_text(own.read_text().replace('delay = "10 ms"', 'delay = "10 ms", loss = "100 %"'))
    assert run("reload").returncode == 0
    wait_for(lambda: not ping("alpha", "10.77.2.2"))
    assert lab.reload(SMALL).path("alpha", "beta").loss == 0
    meets("alpha", "10.77.2.2")
    assert recorded("emulator") == emulator


def test_a_spoilt_description_is_refused_and_the_paths_stay(own_lab: Path, tmp_path: Path) -> None:
    lab.up(SMALL)
    spoilt = tmp_path / "spoilt.toml"
    spoilt.write_text(SMALL.read_text().replace("10 ms", "ten"))
    done = run("reload", "--description", str(spoilt))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    other = tmp_path / "other.toml"
    other.write_text(SMALL.read_text().replace("beta", "delta"))
    with pytest.raises(InputError, match="`fairlead lab down` first"):
        lab.reload(other)
    with pytest.raises(InputError, match="`fairlead lab down` first"):
        lab.up(other)
    meets("alpha", "10.77.2.2")


@pytest.mark.parametrize("victim", ["emulator", "iperf3-beta", "storage-alpha"])
def test_what_was_killed_is_reported_and_comes_back(own_lab: Path, victim: str) -> None:
    first = lab.up(SMALL)
    process = first.processes[victim]
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.alive())
    damaged = lab.status()
    assert damaged is not None
    assert damaged.problems == (f"{victim} does not run",)
    assert run("status").returncode == 1
    repaired = lab.up()
    assert {name for name in repaired.processes if repaired.processes[name] != first.processes[name]} == {
        victim
    }
    meets("alpha", "10.77.2.2")


def test_a_namespace_that_was_deleted_comes_back(own_lab: Path) -> None:
    first = lab.up(SMALL)
    subprocess.run(["ip", "netns", "del", f"{first.name}-beta"], check=True)
    assert lab.status() != first
    lab.up()
    meets("alpha", "10.77.2.2")
    assert at("alpha", ["iperf3", "-c", "10.77.2.2", "-n", "100K"]).returncode == 0


def test_up_twice_changes_nothing(own_lab: Path) -> None:
    first = lab.up(SMALL)
    assert lab.up() == first


def test_down_ends_strangers_in_the_lab_too(own_lab: Path) -> None:
    lab.up(SMALL)
    with subprocess.Popen(lab.host("alpha").argv(["sleep", "600"])) as stranger:
        lab.down()
        assert stranger.wait(timeout=300) != 0
    assert nothing_left(own_lab)


@pytest.fixture
def slow_files(own_lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab whose files take seconds to make, so that `up` can be caught in the middle."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    slow = tmp_path / "slow.toml"
    slow.write_text(SMALL.read_text().replace('size = "2 MB"', 'size = "20 GB"'))
    return slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_nothing(
    own_lab: Path, slow_files: Path, tmp_path: Path, number: int
) -> None:
    up = subprocess.Popen(command("up", "--description", str(slow_files)), stderr=subprocess.PIPE, text=True)
    with up:
        wait_for(lambda: (own_lab / "processes" / "storage-beta.json").exists())
        up.send_signal(number)
        words = up.communicate(timeout=300)[1]
    assert up.returncode == 128 + number
    assert words.count("\n") == (1 if number == signal.SIGINT else 0)
    assert nothing_left(own_lab)
    assert not list((tmp_path / "cache").rglob("*table.dat*"))


def test_down_clears_up_after_an_up_that_was_killed(own_lab: Path, slow_files: Path) -> None:
    with subprocess.Popen(command("up", "--description", str(slow_files))) as up:
        wait_for(lambda: (own_lab / "processes" / "emulator.json").exists())
        up.kill()
    assert namespaces()
    assert lab.down()
    assert nothing_left(own_lab)


def test_up_completes_what_a_killed_up_began(own_lab: Path, slow_files: Path) -> None:
    with subprocess.Popen(command("up", "--description", str(slow_files))) as up:
        wait_for(lambda: len(namespaces()) >= 2)
        up.kill()
    assert lab.up(SMALL).problems == ()
    meets("beta", "10.77.1.2")


def test_what_a_killed_up_still_has_done_is_waited_for(own_lab: Path, tmp_path: Path) -> None:
    """And so nothing is made any more when another command has looked."""
    real, begun, go = shutil.which("ip"), tmp_path / "begun", tmp_path / "go"
    os.mkfifo(go)
    slow = tmp_path / "bin" / "ip"
    slow.parent.mkdir()
    # what makes namespaces, and not the trial whether any can be made
    waits = f"cat >{tmp_path}/lines; echo $$ >{tmp_path}/pid; mv {tmp_path}/pid {begun}; read _ <{go}"
    makes = f'exec {real} "$@" <{tmp_path}/lines'
    slow.write_text(f'#!/bin/sh\nif [ "$1" = -batch ]; then {waits}; {makes}; fi\nexec {real} "$@"\n')
    slow.chmod(0o755)
    environment = {**os.environ, "PATH": f"{slow.parent}:{os.environ['PATH']}"}
    with subprocess.Popen(command("up", "--description", str(SMALL)), env=environment) as up:
        wait_for(begun.exists)
        up.kill()
    down = threading.Thread(target=lab.down)
    down.start()
    # it waits, or it would have looked by now
    down.join(0.5)
    go.write_text("\n")
    wait_for(lambda: not Path(f"/proc/{begun.read_text().strip()}").exists())
    down.join()
    assert nothing_left(own_lab)


def test_up_ends_a_server_that_a_killed_up_had_no_time_to_note(own_lab: Path) -> None:
    first = lab.up(SMALL)
    for name in ("emulator", "iperf3-beta"):
        (own_lab / "processes" / f"{name}.json").unlink()
    again = lab.up()
    assert again.problems == ()
    for name in ("emulator", "iperf3-beta"):
        stray = first.processes[name]
        assert stray is not None
        assert not stray.alive()
    meets("alpha", "10.77.2.2")


def test_an_up_that_fails_halfway_leaves_nothing(own_lab: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "iperf3").write_text("#!/bin/sh\necho 'iperf3: out of order' >&2\nexit 1\n")
    (broken / "iperf3").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{broken}:{os.environ['PATH']}")
        done = run("up", "--description", str(SMALL))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "out of order" in done.stderr
    assert nothing_left(own_lab)


def test_two_ups_at_once_make_one_lab(own_lab: Path) -> None:
    starting = [subprocess.Popen(command("up", "--description", str(SMALL))) for _ in range(2)]
    assert [up.wait(timeout=300) for up in starting] == [0, 0]
    found = lab.status()
    assert found is not None
    assert found.problems == ()
    files = [Path(f"/run/netns/{name}") for name in namespaces()]
    assert len(processes.in_namespaces(files)) == 5


def test_without_the_right_to_make_namespaces_up_says_so(own_lab: Path) -> None:
    bare = ["setpriv", "--bounding-set", "-net_admin,-sys_admin"]
    done = subprocess.run([*bare, *command("up")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 3
    assert done.stderr.startswith("fairlead: the lab needs network namespaces: ")
    assert done.stderr.count("\n") == 1
    assert nothing_left(own_lab)


def test_without_its_programs_the_lab_names_them(own_lab: Path, tmp_path: Path) -> None:
    (tmp_path / "ip").symlink_to(shutil.which("ip") or "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(OutsideError, match=r"the lab needs nsenter, .*, ping, not found"):
            lab.up(SMALL)
