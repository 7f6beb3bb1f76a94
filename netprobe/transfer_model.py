"""How long one file takes over one fresh TCP connection, in closed form, and the inverse for short tests.

Shape: connect, ask, ramp up (slow start), then the path's rate, then what the mover does at the end. On 434
real wide-area transfers of 200 MiB, `bytes * 8 / rate` had a median error of 11.7 % and was too optimistic by
much the same; with the ramp it was 3.1 %. Memory-to-memory tests bound a disk-to-disk mover from above: hence
the per-file terms.
"""

from __future__ import annotations

import math

# Linux starts a connection with ten segments (RFC 6928), the receiver with a window of 64 KiB ...
INITIAL_WINDOW_SEGMENTS = 10
INITIAL_RECEIVE_WINDOW_BYTES = 65_535.0
# ... doubles the window in a little more than a round trip: like the other constants of this module chosen on
# 100 lab transfers of 1 to 200 files under bbr, and not worse on others over the same paths ...
DOUBLING_ROUND_TRIPS = 1.3
# ... and an Ethernet path that nobody looked at carries segments of 1448 bytes.
DEFAULT_MSS_BYTES = 1448.0
# Assumption: what a storage server takes from request to first byte.
SERVER_SECONDS = 0.002
# Assumption: opening, checksum of the tail, fsync and naming of one file, whatever its size ...
FILE_SECONDS = 0.006
# ... and the part of writing back to disk that is not hidden behind the network, per byte.
DISK_BITS_PER_SECOND = 20e9
# A rate is solved for once its average is as near as this; it takes a handful of steps.
_NEAR, _MOST_STEPS = 1e-10, 60


def initial_window_bytes(mss_bytes: float) -> float:
    """What a new connection may send in its first round trip."""
    return min(INITIAL_WINDOW_SEGMENTS * mss_bytes, INITIAL_RECEIVE_WINDOW_BYTES)


def written_seconds(size_bytes: float) -> float:
    """What a file costs once its last byte has come."""
    return FILE_SECONDS + size_bytes * 8 / DISK_BITS_PER_SECOND


def ramp_seconds(size_bytes: float, bits_per_second: float, rtt_seconds: float, mss_bytes: float) -> float:
    """Seconds from the first byte's arrival to the last one's, with slow start.

    The window starts at `initial_window_bytes` and doubles every DOUBLING_ROUND_TRIPS (bbr's start-up, by its
    gain of 2.89, doubles what is delivered each round at best) until it covers rate * round trip; then the
    rate holds. Within a round bytes arrive evenly. Grows with size and round trip, falls with rate; 0 for 0
    bytes.
    """
    rate = bits_per_second / 8
    # a step of the ramp, and what arrives in the first one
    rtt_seconds *= DOUBLING_ROUND_TRIPS
    window = initial_window_bytes(mss_bytes) * DOUBLING_ROUND_TRIPS
    if rtt_seconds <= 0 or rate * rtt_seconds <= window:
        return size_bytes / rate
    doublings = math.ceil(math.log2(rate * rtt_seconds / window))
    ramp_bytes = window * (2.0**doublings - 1)
    if size_bytes >= ramp_bytes:
        return doublings * rtt_seconds + (size_bytes - ramp_bytes) / rate
    rounds = min(math.floor(math.log2(size_bytes / window + 1)), doublings - 1)
    sent = window * (2.0**rounds - 1)
    return (rounds + (size_bytes - sent) / (window * 2.0**rounds)) * rtt_seconds


def file_seconds(size_bytes: float, bits_per_second: float, rtt_seconds: float, mss_bytes: float) -> float:
    """Seconds to move one file: from the first packet of the connection to verified and synced on disk.

    One round trip to connect and one to ask; `ramp_seconds` to arrive; then the stated per-file costs.
    """
    ask = 2 * rtt_seconds + SERVER_SECONDS
    arrive = ramp_seconds(size_bytes, bits_per_second, rtt_seconds, mss_bytes)
    return ask + arrive + written_seconds(size_bytes)


def arrived_bytes(seconds: float, bits_per_second: float, rtt_seconds: float, mss_bytes: float) -> float:
    """Bytes that have arrived `seconds` after the first one: the inverse of `ramp_seconds` in size."""
    rate = bits_per_second / 8
    # a step of the ramp, and what arrives in the first one
    rtt_seconds *= DOUBLING_ROUND_TRIPS
    window = initial_window_bytes(mss_bytes) * DOUBLING_ROUND_TRIPS
    if rtt_seconds <= 0 or rate * rtt_seconds <= window:
        return seconds * rate
    doublings = math.ceil(math.log2(rate * rtt_seconds / window))
    rounds = min(math.floor(seconds / rtt_seconds), doublings)
    sent = window * (2.0**rounds - 1)
    left = seconds - rounds * rtt_seconds
    return sent + left * (rate if rounds == doublings else window * 2.0**rounds / rtt_seconds)


def sustained_bits_per_second(
    average_bits_per_second: float,
    omitted_seconds: float,
    test_seconds: float,
    rtt_seconds: float,
    mss_bytes: float,
) -> float:
    """The rate after slow start, of a test that averaged `average_bits_per_second` over `test_seconds` after
    its first `omitted_seconds`.

    Solved between the average and twice the average, by the rule of Illinois (Dowell and Jarratt 1971): a
    test too short to have left slow start says nothing of what lies above.
    """

    def average(rate: float) -> float:
        end = arrived_bytes(omitted_seconds + test_seconds, rate, rtt_seconds, mss_bytes)
        return (end - arrived_bytes(omitted_seconds, rate, rtt_seconds, mss_bytes)) * 8 / test_seconds

    if test_seconds <= 0:
        return average_bits_per_second
    low, high = average_bits_per_second, 2 * average_bits_per_second
    # how far the averages of both ends are from the one that is looked for
    below, above = average(low) - average_bits_per_second, average(high) - average_bits_per_second
    if above <= 0:
        return high
    if below >= 0:
        return low
    side = 0
    for _ in range(_MOST_STEPS):
        rate = (low * above - high * below) / (above - below)
        apart = average(rate) - average_bits_per_second
        if abs(apart) <= _NEAR * average_bits_per_second:
            return rate
        # an end that stays twice counts half: else it would never move
        if apart < 0:
            low, below, above = rate, apart, above / 2 if side < 0 else above
            side = -1
        else:
            high, above, below = rate, apart, below / 2 if side > 0 else below
            side = 1
    return high
