"""Compromises against a brute force over all sizes and starts."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reservations.calendar import MEMORY_MB, VCPU, Calendar, Host, Need, Rules, Taken
from reservations.windows import Compromise, Question, alternatives, openings
from tests.reservations.spaces import MINUTE, ZERO, at, calendars, fits, minute_of, questions, right_starts

SIZED = (Compromise.FEWER, Compromise.SMALLER, Compromise.SHORTER)


def smaller_question(question, compromise, size, sizes, step):
    need = question.need
    match compromise:
        case Compromise.FEWER:
            return replace(question, need=need.of(size))
        case Compromise.SMALLER:
            amounts = {name: -(-amount * size // sizes) for name, amount in need.amounts.items()}
            return replace(question, need=replace(need, amounts=amounts))
        case Compromise.SHORTER:
            return replace(question, duration=size * step)


def sizes_of(question, compromise, step):
    amounts = question.need.amounts
    match compromise:
        case Compromise.FEWER:
            return question.need.units
        case Compromise.SMALLER:
            return amounts.get(VCPU) or max(amounts.values(), default=0)
        case Compromise.SHORTER:
            return -(-question.duration // step)


def all_smaller(calendar, question, compromise):
    """(start, size, lost) of all that is smaller and sooner, the soonest first."""
    step = calendar.rules.step
    sizes = sizes_of(question, compromise, step)
    whole = right_starts(calendar, question)
    asked = asked_start(calendar, question)
    return sorted(
        (start, size, (start - asked) * MINUTE + question.duration * (sizes - size) / sizes)
        for size in range(1, sizes)
        for start in right_starts(calendar, smaller_question(question, compromise, size, sizes, step))
        if not whole or start < whole[0]
    )


def asked_start(calendar, question):
    step = calendar.rules.step
    epoch = ZERO.replace(year=1970)
    return minute_of(epoch + -((epoch - question.after) // step) * step)


@given(calendars(), questions())
def test_of_each_size_the_soonest_and_the_one_that_loses_least_are_found(calendar, question):
    found = alternatives(calendar, question)
    whole = right_starts(calendar, question)
    for compromise in SIZED:
        possible = all_smaller(calendar, question, compromise)
        ours = [each for each in found if each.compromise is compromise]
        if not possible or whole[:1] == [asked_start(calendar, question)]:
            assert not ours
            continue
        sizes = sizes_of(question, compromise, calendar.rules.step)
        soonest = min(start for start, _, _ in possible)
        largest = max(size for start, size, _ in possible if start == soonest)
        expected = smaller_question(question, compromise, largest, sizes, calendar.rules.step)
        assert (at(soonest), expected) in [
            (each.opening.start, replace(each.question, after=question.after, before=question.before))
            for each in ours
        ]
        assert min(each.lost for each in ours) == min(lost for _, _, lost in possible)


@given(calendars(), questions())
def test_every_compromise_is_possible_and_the_list_is_in_order(calendar, question):
    found = alternatives(calendar, question)
    whole = right_starts(calendar, question)
    asked = asked_start(calendar, question)
    order = list(Compromise)
    assert found == sorted(found, key=lambda each: (each.lost, order.index(each.compromise)))
    for each in found:
        start = minute_of(each.opening.start)
        assert fits(calendar, each.question, start)
        assert openings(calendar, replace(each.question, after=each.opening.start), 1) == [each.opening]
        if each.compromise is Compromise.LATER:
            assert not whole
            assert start > minute_of(question.before)
        elif each.compromise is Compromise.SPLIT:
            step, rules = calendar.rules.step, calendar.rules
            assert each.question.duration + each.second_duration == -(-question.duration // step) * step
            assert (
                each.second.start >= each.opening.start + each.question.duration + rules.gap + rules.cleaning
            )
            second = minute_of(each.second.start)
            rest = Question(question.need, each.second_duration, at(second), at(second))
            assert fits(calendar, rest, second)
            assert each.lost == each.second.start - each.question.duration - at(asked)
            assert not whole or at(asked) + each.lost < at(whole[0])
        else:
            assert not whole or start < whole[0]


@given(calendars(), questions())
def test_nothing_is_offered_where_all_of_it_fits_as_asked(calendar, question):
    if asked_start(calendar, question) in right_starts(calendar, question):
        assert alternatives(calendar, question) == []


def cloud(flavours=None, taken=(), hosts=2, **more):
    machines = tuple(Host(f"h{n}", f"h{n}", {VCPU: 8}) for n in range(hosts))
    return Calendar(
        "perth",
        "test",
        "flavor:instance",
        machines,
        tuple(taken),
        Rules(**more),
        known_at=ZERO,
        until=at(10000),
        flavours=flavours or {},
    )


def test_another_flavour_that_is_free_sooner():
    flavours = {
        "l": ("large", {VCPU: 8}),
        "xl": ("larger", {VCPU: 16}),
        "m": ("medium", {VCPU: 6}),
        "s": ("small", {VCPU: 1}),
    }
    taken = [Taken("h0", at(0), at(600), {VCPU: 2}, "a"), Taken("h1", at(0), at(600), {VCPU: 7}, "b")]
    question = Question(Need({VCPU: 8}, flavour="l"), 60 * MINUTE, at(0), at(1000))
    (found,) = [
        each for each in alternatives(cloud(flavours, taken), question) if each.compromise == "flavour"
    ]
    assert found.question.need.flavour == "m"
    assert found.question.need.amounts == {VCPU: 6}
    assert (found.opening.start, found.lost) == (at(0), 15 * MINUTE)


def test_a_split_where_no_booking_may_be_so_long():
    question = Question(Need({VCPU: 8}), timedelta(days=3), at(0), at(10))
    found = alternatives(cloud(longest=timedelta(days=2)), question)
    (split,) = [each for each in found if each.compromise is Compromise.SPLIT]
    assert (split.opening.start, split.question.duration) == (at(0), timedelta(days=2))
    assert (split.second.start, split.second_duration) == (at(0) + timedelta(days=2), timedelta(days=1))
    assert split.lost == timedelta(0)
    assert found[0] is split


def test_the_second_part_keeps_the_gap_and_the_cleaning_after_the_first():
    rules = {"longest": timedelta(days=2), "gap": 3 * MINUTE, "cleaning": 10 * MINUTE}
    question = Question(Need({VCPU: 8}), timedelta(days=3), at(0), at(10))
    found = alternatives(cloud(hosts=1, **rules), question)
    (split,) = [each for each in found if each.compromise is Compromise.SPLIT]
    assert split.second.start == at(0) + timedelta(days=2) + 13 * MINUTE
    assert split.lost == 13 * MINUTE


@given(st.integers(1, 30), st.integers(2, 60))
def test_later_is_the_first_start_after_the_asked_range(before, length):
    taken = [Taken(host, at(0), at(100), None, "a") for host in ("h0", "h1")]
    question = Question(Need({VCPU: 8}), length * MINUTE, at(0), at(before))
    (later,) = alternatives(cloud(taken=taken), question)
    assert later.compromise is Compromise.LATER
    assert (later.opening.start, later.lost) == (at(100), 100 * MINUTE)


def test_a_year_with_the_memory_of_a_large_machine():
    host = Host("h0", "h0", {MEMORY_MB: 2 << 20})
    calendar = replace(cloud(), hosts=(host,), until=at(10**6))
    question = Question(Need({MEMORY_MB: 4 << 20}), timedelta(days=365), at(0), at(10))
    (found,) = alternatives(calendar, question)
    assert (found.compromise, found.lost) == (Compromise.SMALLER, timedelta(days=365) / 2)
    assert found.question.need.amounts == {MEMORY_MB: 2 << 20}
