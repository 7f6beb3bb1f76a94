"""How long a mover takes over many files: its workers share what the path carries, each connection starts
slowly once, and each file costs a round trip during which its own connection carries nothing.

T = setup + files + ramp + bytes / R(P), but the parts overlap: while one worker asks, the others have the
path to themselves. So they aren't added up but gone through, from event to event.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

from netprobe.mover_batch import WORKERS
from netprobe.transfer_model import (
    DOUBLING_ROUND_TRIPS,
    SERVER_SECONDS,
    file_seconds,
    initial_window_bytes,
    written_seconds,
)

# More files than this are not gone through one by one: what the last half of these took, the others take.
MOST_FILES = 512
HALF_AND_WHOLE = (MOST_FILES // 2, MOST_FILES)
# A connection leaves slow start where it gets less than this part of what it asks for ...
CROWDED = 0.85
# ... and then takes up what others leave free by a quarter in so many round trips (bbr's probing; cubic's is
# of the same order where losses are rare).
TAKE_UP = 1.25
TAKE_UP_ROUND_TRIPS = 6.5
# A file that is smaller than the window widens it nevertheless, by what is acknowledged: so many doublings
# for a window full of small files.
DOUBLINGS_A_WINDOW = 3.3
# Standard deviation of the logarithm of sizes that nobody knows: half of the files are within a factor of 1.6
# of their median.
SIZES_SPREAD = 0.7
# A transfer that takes this long has errors that are wider by the root of two.
NOISY_SECONDS = 1.0
# As good as all.
FULL = 0.999
_NORMAL = NormalDist()


@dataclass(frozen=True)
class PathModel:
    """What a path is to a mover: the rate of one stream, how many times that several reach together (1: one
    fills the path already), its round trip, its largest segment."""

    bits_per_second: float
    rtt_seconds: float
    mss_bytes: float
    gain: float = 1.0

    def rate(self, streams: int) -> float:
        """Bits per second of so many streams together: each has its own, up to what the path carries."""
        return self.bits_per_second * max(min(float(streams), self.gain), 1.0)


def batch_seconds(sizes: Sequence[float], path: PathModel, workers: int = WORKERS) -> float:
    """Seconds from the first connect until files of these sizes (bytes) are verified and on the disk.

    In the order of the mover, the largest first. One file takes `file_seconds`.
    """
    ordered = tuple(sorted(sizes, reverse=True))
    if not ordered:
        return 0.0
    if len(ordered) == 1:
        return file_seconds(ordered[0], path.rate(1), path.rtt_seconds, path.mss_bytes)
    if len(ordered) <= MOST_FILES:
        return _gone_through(ordered, path, workers)
    half, whole = (_gone_through(_every(ordered, count), path, workers) for count in HALF_AND_WHOLE)
    return _continued(half, whole, len(ordered))


def summed_seconds(size_bytes: float, files: int, path: PathModel, workers: int = WORKERS) -> float:
    """The same of `files` files, however many, of which only the sum of their sizes is known: see
    `likely_sizes`."""
    if files <= MOST_FILES:
        return batch_seconds(likely_sizes(size_bytes, files), path, workers)
    half, whole = (
        batch_seconds(likely_sizes(size_bytes * count / files, count), path, workers)
        for count in HALF_AND_WHOLE
    )
    return _continued(half, whole, files)


def likely_sizes(size_bytes: float, files: int) -> list[float]:
    """Sizes that `files` files of together `size_bytes` may have, the largest first.

    Log-normal, as sizes of files mostly are (Downey 2001, "The structural cause of file size distributions").
    Were they all alike, the workers would stay in step, ask all at once, and leave the path idle meanwhile:
    that is longer than it takes by 4 % in the median of 65 groups of lab files from 0.1 to 4 MB, and they
    would be corrected for that as if it were the path.
    """
    return [size_bytes * share for share in _shares(files)]


@lru_cache(maxsize=1024)
def _shares(files: int) -> tuple[float, ...]:
    sizes = [math.exp(SIZES_SPREAD * _NORMAL.inv_cdf((files - n - 0.5) / files)) for n in range(files)]
    together = math.fsum(sizes)
    return tuple(size / together for size in sizes)


def _continued(half: float, whole: float, files: int) -> float:
    # the ramp is in both: what is between them is files among others
    return whole + (whole - half) * (files - HALF_AND_WHOLE[1]) / (HALF_AND_WHOLE[1] - HALF_AND_WHOLE[0])


def relative_noise(seconds: float) -> float:
    """How many times wider the errors of a transfer of `seconds` are spread than those of a long one.

    What is drawn by chance (a lost packet, a busy processor, a disk that is written back) costs the same
    whether it meets a short transfer or a long one. By 220 lab transfers: half of the errors of those under a
    second, over 8 s, and between.
    """
    return math.sqrt(1 + NOISY_SECONDS / seconds) if seconds > 0 else 1.0


def _every(ordered: Sequence[float], count: int) -> tuple[float, ...]:
    """So many of these sizes, evenly from all of them: the mean of each slice."""
    ends = [len(ordered) * n // count for n in range(count + 1)]
    return tuple(math.fsum(ordered[start:end]) / (end - start) for start, end in pairwise(ends))


class _Worker:
    """One connection, and the file that it brings. `ready`: seconds until its first byte comes. `most`: bytes
    a second that the connection has reached; `widens`: seconds of flowing until that grows."""

    def __init__(self, size: float, ready: float, most: float, widens: float) -> None:
        self.size = self.left = size
        self.ready, self.most, self.widens = ready, most, widens
        self.flowing, self.starting, self.share = False, True, 0.0


@lru_cache(maxsize=8192)
def _gone_through(ordered: tuple[float, ...], path: PathModel, workers: int) -> float:
    return _Run(ordered, path, workers).end()


class _Run:
    """One mover over one path, from its first connect on."""

    def __init__(self, ordered: Sequence[float], path: PathModel, workers: int) -> None:
        self._path, self._rtt = path, max(path.rtt_seconds, 1e-6)
        self._one = path.bits_per_second / 8
        self._step = self._rtt * DOUBLING_ROUND_TRIPS
        first = min(initial_window_bytes(path.mss_bytes) / self._rtt, self._one)
        ready = 2 * self._rtt + SERVER_SECONDS
        self._workers = [_Worker(size, ready, first, self._step) for size in ordered[:workers]]
        self._waiting: Iterator[float] = iter(ordered[workers:])
        self._done = 0.0

    def end(self) -> float:
        now = 0.0
        while self._workers:
            flowing = [worker for worker in self._workers if worker.flowing]
            _share(flowing, self._path.rate(len(flowing)) / 8)
            # durations, not times: late in a long transfer a short step would be lost in rounding
            steps = [worker.ready for worker in self._workers if not worker.flowing]
            steps += [worker.left / worker.share for worker in flowing]
            steps += [worker.widens for worker in flowing if self._may_widen(worker)]
            step = min(steps)
            now += step
            for worker in list(self._workers):
                if not worker.flowing:
                    worker.flowing = worker.ready <= step
                    worker.ready -= step
                elif worker.left / worker.share <= step:
                    self._next(worker, now)
                else:
                    worker.left -= worker.share * step
                    if self._may_widen(worker):
                        worker.widens -= step
                        if worker.widens <= 0:
                            self._widen(worker)
        return self._done

    def _may_widen(self, worker: _Worker) -> bool:
        """Whether anything comes of waiting: a crowded one that is past slow start stays as it is."""
        return worker.starting or (worker.most < self._one and worker.share >= worker.most * FULL)

    def _next(self, worker: _Worker, now: float) -> None:
        """The worker's file is there; it asks for another while there is one."""
        written = now + written_seconds(worker.size)
        self._done = max(self._done, written)
        if worker.starting:
            windows = min(worker.size / (worker.most * self._rtt), 1.0)
            worker.widens = max(worker.widens - windows * DOUBLINGS_A_WINDOW * self._step, 0.0)
        size = next(self._waiting, None)
        if size is None:
            self._workers.remove(worker)
            return
        worker.size = worker.left = size
        worker.ready, worker.flowing = written - now + self._rtt + SERVER_SECONDS, False

    def _widen(self, worker: _Worker) -> None:
        if worker.starting and worker.share < worker.most * CROWDED:
            worker.starting, worker.most = False, worker.share
        else:
            worker.most = min(worker.most * (2 if worker.starting else TAKE_UP), self._one)
            worker.starting = worker.starting and worker.most < self._one
        worker.widens = self._step if worker.starting else TAKE_UP_ROUND_TRIPS * self._rtt


def _share(flowing: Sequence[_Worker], rate: float) -> None:
    """Max-min fair: nobody more than its own most, what is left in equal parts."""
    left = rate
    for number, worker in enumerate(sorted(flowing, key=lambda worker: worker.most)):
        worker.share = min(worker.most, left / (len(flowing) - number))
        left -= worker.share
