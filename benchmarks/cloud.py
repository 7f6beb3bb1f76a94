"""How long an OpenStack cloud takes to answer, and how much of that is ours.

    python benchmarks/cloud.py [--leases 0 100 300]

Brings up the cloud of the tests (Keystone, Nova with a fake driver, Placement, Blazar; see tests/cloud)
and fills its calendar. Prints the median seconds of a calendar read as administrator and as member, of the
question "when?" on it, of a reservation that is made and verified, and of a refusal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from federation.clock import SystemClock
from federation.sites import Place, Site, Space
from reservations.calendar import MEMORY_MB, VCPU, Need
from reservations.leases import RefusedError
from reservations.openstack.leases import BlazarLeases
from reservations.sources.blazar import BlazarSource
from reservations.windows import Question, openings

# the cloud of the tests is in the checkout, and in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cloud import leases
from tests.cloud.cloud import Cloud

NEED = Need({VCPU: 4, MEMORY_MB: 8192})
KIND = "virtual:instance"


def source(entry: str) -> BlazarSource:
    site = Site(entry, entry, Place(0, 0))
    return BlazarSource(site, Space("blazar", {"cloud": entry}), SystemClock())


def median(action: Callable[[int], Any], times: int) -> float:
    spent = []
    for number in range(times):
        begun = time.perf_counter()
        action(number)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def fill(cloud: Cloud, have: int, want: int) -> None:
    """Reservations of an hour, one after the other, on all three hosts."""
    connection = cloud.connect("other")
    for number in range(have, want):
        begin = 24 + 2 * (number // 3)
        times = {"start": leases.hours_from_now(begin), "end": leases.hours_from_now(begin + 1)}
        leases.create(connection, leases.whole_hosts(1), **times)


def refused(book: BlazarLeases, name: str) -> None:
    begin = datetime.now(UTC) + timedelta(hours=2)
    try:
        book.reserve(name, NEED.of(1000), KIND, begin, begin + timedelta(hours=1))
    except RefusedError:
        return
    raise SystemExit("a thousand instances fit")


def measure(count: int, times: int) -> dict[str, float]:
    admin, member = source("admin"), source("member")
    now = datetime.now(UTC)
    horizon = now + timedelta(days=90)
    (calendar,) = (one for one in admin.calendars(now, horizon) if one.kind == KIND)
    question = Question(NEED, timedelta(hours=3), now, now + timedelta(days=30))
    book = admin.leases()
    begin = now + timedelta(hours=3)
    made_ids: list[str] = []

    def reserve(number: int) -> None:
        name = f"benchmark-{count}-{number}"
        made = book.reserve(name, NEED, KIND, begin, begin + timedelta(minutes=30))
        made_ids.append(made.id)

    return {
        "calendar, admin": median(lambda _: admin.calendars(now, horizon), times),
        "calendar, member": median(lambda _: member.calendars(now, horizon), times),
        "when?": median(lambda _: openings(calendar, question), times),
        "reserved and verified": median(reserve, times),
        "refused": median(lambda number: refused(book, f"no-{count}-{number}"), times),
        "given up": median(lambda number: book.cancel(made_ids[number]), times),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--leases", type=int, nargs="+", default=[0, 100, 300])
    parser.add_argument("--times", type=int, default=7)
    chosen = parser.parse_args()
    cloud = Cloud.up()
    try:
        cloud.clean()
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(cloud.clouds_yaml)
        print(f"the cloud was up after {cloud.up_seconds:.0f} s")
        rows = []
        have = 0
        for count in sorted(chosen.leases):
            fill(cloud, have, count)
            have = count
            rows.append((count, measure(count, chosen.times)))
        print(f"{'seconds, median':<24}" + "".join(f"{f'{count} leases':>14}" for count, _ in rows))
        for name in rows[0][1]:
            print(f"{name:<24}" + "".join(f"{figures[name]:>14.3f}" for _, figures in rows))
    finally:
        cloud.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
