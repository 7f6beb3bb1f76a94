"""What a command on another machine costs over a connection of its own, and over one that is shared.

    python -m benchmarks.ssh_sharing [pyperf's own options, such as --fast or -o file.json]

An OpenSSH server of its own on loopback plays the other machine. "own" is what `federation.ssh` does for each
command; "shared" is the same command line with ControlMaster, over a connection that is there already;
"client" is what of both is ours alone: a Python that starts and ends. Loopback has no round trips: over a
path each costs its time in addition, and a connection of its own takes several.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pyperf

# the server of the tests is in the checkout, and in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from federation.ssh import client_line
from tests.federation.sshd import ssh_server

# the size of the command's input, which is none
NO_INPUT = b"0\n"


def run(line: list[str]) -> None:
    subprocess.run(line, input=NO_INPUT, check=True, capture_output=True)


def main() -> None:
    runner = pyperf.Runner(processes=3, values=5, warmups=1)
    runner.parse_args()
    ours = [sys.executable, "-m", "federation.ssh", "--help"]
    with tempfile.TemporaryDirectory() as directory, ssh_server(Path(directory)) as server:
        host = server.host
        own = client_line(host.name, host.port, host.known_hosts, host.identity, "/dev/null", ["true"])
        path = f"ControlPath={directory}/shared"
        shared = [path if word == "ControlPath=none" else word for word in own]
        master = ["ControlMaster=yes" if word == "ControlMaster=no" else word for word in shared]
        # goes to the background when it is connected
        subprocess.run([*master[:1], "-f", "-N", *master[1:-1]], check=True, stdin=subprocess.DEVNULL)
        try:
            found = {
                "own": runner.bench_func("own", run, own),
                "shared": runner.bench_func("shared", run, shared),
                "client": runner.bench_func("client", run, ours),
            }
        finally:
            subprocess.run(["ssh", "-o", path, "-O", "exit", host.name], check=True, capture_output=True)
    # only the first of pyperf's processes sees all values
    if runner.args.worker or None in found.values():
        return
    times = {name: bench.median() for name, bench in found.items() if bench is not None}
    print(f"own / shared: {times['own'] / times['shared']:.2f}; with our client beside each: ", end="")
    print(f"{(times['own'] + times['client']) / (times['shared'] + times['client']):.2f}")


if __name__ == "__main__":
    main()
