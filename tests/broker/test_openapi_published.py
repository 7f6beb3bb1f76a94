"""How our OpenAPI document differs from the published contract: only as openapi_differences.yaml says."""

from pathlib import Path

import yaml

from broker.contract import kinds
from broker.http.description import describe
from tests.clients.facts import difference, operation_facts, schema_facts
from tests.clients.published import bundle

DIFFERENCES = Path(__file__).with_name("openapi_differences.yaml")


def test_every_difference_from_the_published_contract_is_on_purpose():
    listed = yaml.safe_load(DIFFERENCES.read_text())
    assert all(entry["reason"] for entry in listed)
    on_purpose = [line for entry in listed for line in entry["lines"]]
    published, ours = bundle(), describe()
    found = difference(operation_facts(published), operation_facts(ours))
    found += difference(schema_facts(published), schema_facts(ours))
    assert sorted(on_purpose) == sorted(found)


def test_nothing_of_the_contract_is_missing():
    """A client of the published contract finds all that it knows: whatever else is listed, this stays."""
    published, ours = bundle(), describe()
    assert operation_facts(published).keys() <= operation_facts(ours).keys()
    used = {name for name in schema_facts(published) if _is_used(name, published)}
    assert used <= schema_facts(ours).keys()
    for name in used:
        lost = {_subject(fact) for fact in schema_facts(published)[name]} - {
            _subject(fact) for fact in schema_facts(ours)[name]
        }
        # a base that is among its own kinds can't be read by generated code
        assert lost <= {f"kind {kinds.ABSTRACT_COST}", f"kind {kinds.ABSTRACT_METRIC}"}, name


def _is_used(name, document):
    """Whether a path leads there."""
    known, more = (
        set(),
        {"ExecutionRequest", "OfferSetResponse", "AbstractExecutionSession", "AbstractUpdate"},
    )
    while more:
        known |= more
        more = {
            found for each in more for found in _references(document["components"]["schemas"][each])
        } - known
    return name in known


def _references(value):
    if isinstance(value, dict):
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)
    elif isinstance(value, str) and value.startswith("#/components/schemas/"):
        yield value.rpartition("/")[2]


def _subject(fact):
    """The property, the parent or the kind that a fact is about, without its schema."""
    return fact.partition(": ")[0] if fact.startswith((".", "kind ")) else fact.partition(" ")[0]
