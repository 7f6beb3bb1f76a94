"""Every message's kind has a page: the registry explains all slugs that are used, and no others."""

import ast
import re
from pathlib import Path

import pytest

import broker
from broker.contract.message_kinds import MESSAGE_KINDS, message_uri, page

PACKAGE = Path(broker.__file__).parent
# functions whose first argument is the slug of a note, as `note` or `reasons.no`
MAKERS = re.compile(r"_?[Nn]ote|no|warn|info")
OWNERS = ("reasons", "self")


def slugs():
    """(pattern, where) of each slug in the source; places that are filled in at run time are `.+`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "message_kinds.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = dict(_constants(tree))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and _makes_a_note(call.func):
                named = [word.value for word in call.keywords if word.arg == "kind"]
                first = next(iter([*call.args, *named]), None)
                pattern = _pattern(first, constants)
                if pattern is not None:
                    yield pattern, f"{path.relative_to(PACKAGE)}:{call.lineno}"


def _makes_a_note(function):
    if isinstance(function, ast.Attribute):
        owner = function.value
        ours = isinstance(owner, ast.Name) and owner.id in OWNERS
        return ours and MAKERS.fullmatch(function.attr) is not None
    return isinstance(function, ast.Name) and MAKERS.fullmatch(function.id) is not None


def _constants(tree):
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value


def _pattern(node, constants):
    """None where the slug is handed on from somewhere else, which is where it is looked at."""
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part, constants) or ".+" for part in node.values)
    if isinstance(node, ast.IfExp):
        return "|".join(_pattern(part, constants) or ".+" for part in (node.body, node.orelse))
    return None


FOUND = list(slugs())


def test_the_source_is_looked_through():
    assert {"rank", "missing\\-value", "data\\-size"} <= {pattern for pattern, _ in FOUND}
    assert len(FOUND) > 50


@pytest.mark.parametrize(("pattern", "where"), FOUND, ids=[where for _, where in FOUND])
def test_every_slug_is_registered(pattern, where):
    for each in pattern.split("|"):
        assert any(re.fullmatch(each, slug) for slug in MESSAGE_KINDS), f"{where}: {each} is not registered"


def test_nothing_is_registered_that_no_message_says():
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "message_kinds.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    said = {slug for slug in MESSAGE_KINDS if f'"{slug}"' in text}
    said |= {slug for slug in MESSAGE_KINDS for pattern, _ in FOUND if re.fullmatch(pattern, slug)}
    assert set(MESSAGE_KINDS) == said


@pytest.mark.parametrize("slug", MESSAGE_KINDS)
def test_every_kind_is_explained(slug):
    kind = MESSAGE_KINDS[slug]
    assert kind.slug == slug
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    for sentence in (kind.meaning, kind.remedy):
        assert sentence == sentence.strip()
        assert sentence.endswith((".", ".)"))
    assert not kind.title.endswith(".")


def test_a_kind_is_a_page_of_the_service():
    assert message_uri("https://broker.example", "no-room") == "https://broker.example/messages/no-room"


def test_the_documentation_has_them_all():
    text = page()
    assert text.startswith("# ")
    for kind in MESSAGE_KINDS.values():
        assert f"### {kind.slug}\n" in text
        assert kind.meaning in text
