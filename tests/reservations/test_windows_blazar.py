"""Openings against Blazar's own way of counting, written out as its plugins have it (release 18)."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reservations.calendar import MEMORY_MB, VCPU, Calendar, Host, Need, Rules, Spread, Taken
from reservations.windows import Question, openings
from tests.reservations.spaces import MINUTE, ZERO, at, minutes

INSTANCES = st.builds(Rules, gap=st.just(MINUTE), cleaning=minutes(0, 2), whole_peaks=st.just(True))
HOST = Host("h", "h", {VCPU: 6, MEMORY_MB: 6})


@st.composite
def blazars(draw, rules):
    taken = []
    for n in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, 30))
        amounts = {VCPU: draw(st.integers(0, 3)), MEMORY_MB: draw(st.integers(0, 3))}
        taken.append(Taken("h", at(start), at(start + draw(st.integers(1, 12))), amounts, f"{n}"))
    return Calendar("perth", "blazar", "virtual:instance", (HOST,), tuple(taken), draw(rules), ZERO, at(1000))


def overlapping(calendar, start, end):
    """`get_reservations_by_host_id`: with <= on both sides, for the time widened by `cleaning_time`."""
    start, end = start - calendar.rules.cleaning, end + calendar.rules.cleaning
    return [each for each in calendar.taken if start <= each.end and each.start <= end]


def max_usages(reservations, ends_first):
    """`max_usages`: the peak of each class by itself over all events of these reservations. Of events at the
    same minute the database's order of the reservations decides which comes first.
    """
    events = [(each.start, 1, each) for each in reservations] + [(each.end, 0, each) for each in reservations]
    events.sort(key=lambda event: (event[0], event[1] if ends_first else -event[1]))
    now, most = Counter(), Counter()
    for _, starts, each in events:
        for name, amount in each.amounts.items():
            now[name] += amount if starts else -amount
            most[name] = max(most[name], now[name])
    return most


def granted(calendar, need, start, end, ends_first):
    """`get_hosts_list`, and `pickup_hosts` for one host."""
    most = max_usages(overlapping(calendar, start, end), ends_first)
    slots, used = 0, Counter(need.amounts)
    while all(most[name] + used[name] <= HOST.amounts[name] for name in need.amounts):
        slots += 1
        used.update(need.amounts)
    return slots >= need.units


needs = st.builds(
    Need,
    st.fixed_dictionaries({VCPU: st.integers(1, 4), MEMORY_MB: st.integers(1, 4)}),
    units=st.integers(1, 3),
    spread=st.sampled_from([Spread.ANY, Spread.TOGETHER]),
)


@given(blazars(INSTANCES), needs, st.integers(1, 12))
def test_instances_are_counted_as_blazar_counts_them(calendar, need, length):
    for start in range(40):
        question = Question(need, length * MINUTE, at(start), at(start))
        ours = bool(openings(calendar, question))
        end = at(start + length)
        assert ours == granted(calendar, need, at(start), end, ends_first=False)
        # where no two reservations touch, the order of events at one minute doesn't matter
        touching = {a.end for a in calendar.taken} & {a.start for a in calendar.taken}
        if ours or not touching:
            assert ours == granted(calendar, need, at(start), end, ends_first=True)


@given(blazars(INSTANCES), needs, st.integers(1, 12))
def test_peaks_over_whole_reservations_are_peaks_within_the_wanted_time(calendar, need, length):
    """So that the rule changes no answer: what `reservations.fit` relies upon."""
    question = Question(need, length * MINUTE, at(0), at(40))
    within = replace(calendar, rules=replace(calendar.rules, whole_peaks=False))
    assert openings(calendar, question) == openings(within, question)


def test_hosts_may_touch_and_instances_need_a_minute_between():
    taken = (Taken("h", at(10), at(20), {VCPU: 6, MEMORY_MB: 6}, "a"),)
    calendar = Calendar("perth", "blazar", "physical:host", (HOST,), taken, Rules(), ZERO, at(1000))
    question = Question(Need({}, whole_hosts=True), 10 * MINUTE, at(0), at(40))
    found = [(each.start, each.latest_start) for each in openings(calendar, question)]
    assert found == [(at(0), at(0)), (at(20), at(40))]

    calendar = replace(calendar, rules=Rules(gap=MINUTE, whole_peaks=True))
    question = replace(question, need=Need({VCPU: 1}), after=at(-5))
    found = [(each.start, each.latest_start) for each in openings(calendar, question)]
    assert found == [(at(-5), at(-1)), (at(21), at(40))]
