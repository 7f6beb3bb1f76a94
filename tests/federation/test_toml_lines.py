"""On which line a key stands, in TOML as people lay it out."""

from __future__ import annotations

import pytest

from federation.toml_lines import line_of

TEXT = '''# a comment with key = 1
title = "x"  # [not.a.table]
a.b = 1
"quoted key" = 2

[one]
text = """
key = "in a string"
[two]
"""
list = [
  1, # """ in a comment
  2,
]
key = 3

  [ one . "t.w" ]  # spaced
  key = 4
literal = \'\'\' " one line " \'\'\'
inline = { deep = { x = 1 } }

[[many]]
key = 5
[[many]]
other = 6
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("a", "b"), 3),
        (("a",), 3),
        (("quoted key",), 4),
        (("one",), 6),
        (("one", "text"), 7),
        (("one", "list"), 11),
        (("one", "key"), 15),
        (("one", "t.w"), 17),
        (("one", "t.w", "key"), 18),
        (("one", "t.w", "literal"), 19),
        (("one", "t.w", "inline", "deep", "x"), 20),
        (("many",), 22),
        (("many", "other"), 25),
        (("one", "missing"), 6),
        (("missing",), 1),
    ],
)
def test_the_line_of_a_key(path, line):
    assert line_of(TEXT, path) == line
    assert line_of(TEXT.replace("\n", "\r\n"), path) == line
