"""Blazar's expressions for what a host must be like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InputError
from reservations.properties import ANYTHING, Condition, Expression, parse_expression

HOST = {"gpu": "True", "count": "10", "zone": "perth", "vcpus": "16", "memory_mb": "much"}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("", True),
        ("[]", True),
        ('["==", "$gpu", "True"]', True),
        ('["=", "$gpu", "True"]', True),
        ('["!=", "$gpu", "True"]', False),
        ('["and", ["==", "$gpu", "True"], ["==", "$zone", "perth"]]', True),
        ('["and", ["==", "$gpu", "True"], ["==", "$zone", "cork"]]', False),
        ('["and", ["==", "$gpu", "True"], ["and", ["<", "$zone", "q"], [">", "$zone", "p"]]]', True),
        # text, as Blazar compares it
        ('[">=", "$count", "9"]', False),
        ('["<", "$count", "9"]', True),
        # a number, as its database does
        ('[">=", "$vcpus", "9"]', True),
        ('["==", "$vcpus", "16.0"]', True),
        ('["<=", "$vcpus", "9"]', False),
        ('[">=", "$memory_mb", "1"]', False),
        # what a host hasn't, it isn't
        ('["!=", "$rack", "7"]', False),
    ],
)
def test_which_hosts_are_right(text, right):
    assert parse_expression(text).holds(HOST) is right


@pytest.mark.parametrize(
    "text",
    [
        "gpu == True",
        "{}",
        '["or", ["==", "$gpu", "True"], ["==", "$zone", "perth"]]',
        '["and"]',
        '["==", "gpu", "True"]',
        '["==", "$", "True"]',
        '["==", "$gpu", ""]',
        '["==", "$gpu", true]',
        '["~", "$gpu", "True"]',
        '[">", "$vcpus", "many"]',
    ],
)
def test_what_blazar_would_not_understand_is_refused_in_one_line(text):
    with pytest.raises(InputError, match=r"^--properties: ") as caught:
        parse_expression(text, "--properties")
    assert "\n" not in str(caught.value)


words = st.text("abcXYZ 0189\"'$\\é", min_size=1, max_size=6)
conditions = st.builds(Condition, words, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), words)


@given(st.lists(conditions, max_size=4).map(tuple).map(Expression))
def test_an_expression_survives_being_written_and_read(expression):
    assert parse_expression(expression.text()) == expression


def test_anything_is_the_empty_text():
    assert ANYTHING.text() == ""
    assert json.loads(Expression((Condition("gpu", "==", "True"),)).text()) == ["==", "$gpu", "True"]
