"""Our OpenAPI document: valid, whole, true to the routes and the models, and fit for those who read it."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import re

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

import broker.contract
from broker.contract import kinds
from broker.contract.common import UnknownComponent
from broker.contract.wire import Wire
from broker.http.description import describe
from broker.http.description_shapes import SHAPES
from broker.http.front import Front
from broker.http.media import CODECS
from broker.http.routes import make_router
from tests.broker.test_http import ADA, ROOT, ask, serving, user
from tests.clients.flat import REF, flat

METHODS = {"get", "post", "put", "patch", "delete"}
DOCUMENT = describe("http://broker.example")
SCHEMAS = DOCUMENT["components"]["schemas"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("broker")) as client:
        yield client


def operations():
    return [
        (path, method, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


OPERATIONS = operations()
NAMES = [operation["operationId"] for _, _, operation in OPERATIONS]


def references(value):
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member.removeprefix(REF)
            elif name == "mapping":
                yield from (target.removeprefix(REF) for target in member.values())
            else:
                yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def check(document, name):
    """Hold a document against a schema of ours, strictly: the kinds' own properties, and no others."""
    validator = Draft202012Validator(
        flat(DOCUMENT) | {"$ref": REF + name}, format_checker=FormatChecker(["uuid", "date-time"])
    )
    # a choice fails for as many reasons as there are choices: the one meant is the one that got furthest
    faults = [leaf for error in validator.iter_errors(document) for leaf in _leaves(error)]
    furthest = max(faults, key=lambda fault: len(fault.absolute_path), default=None)
    assert furthest is None, f"{furthest.json_path}: {furthest.message}"


def _leaves(error):
    return [leaf for inner in error.context for leaf in _leaves(inner)] if error.context else [error]


# what is served


def test_it_is_served_as_json_and_as_yaml(client):
    as_json, as_yaml = client.get("/openapi.json"), client.get("/openapi.yaml")
    assert as_json.headers["content-type"] == "application/json"
    assert as_yaml.headers["content-type"] == "application/yaml"
    assert as_json.json() == yaml.safe_load(as_yaml.text) == json.loads(json.dumps(DOCUMENT))


def test_for_generators_without_inheritance_a_base_is_a_choice(client):
    assert client.get("/openapi.json", params={"kinds": "any"}).status_code == 400
    document = client.get("/openapi.json", params={"kinds": "oneOf"}).json()
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    assert not any("allOf" in schema for schema in schemas.values())
    assert schemas["AbstractVolumeMount"]["oneOf"] == [{"$ref": REF + "SimpleVolumeMount"}]
    strict = flat(DOCUMENT)["components"]["schemas"]
    for name, schema in schemas.items():
        if "properties" in schema and "properties" in strict.get(name, {}):
            assert set(schema["properties"]) == set(strict[name]["properties"]), name
            assert schema.get("required", []) == strict[name]["required"], name


def test_every_route_is_described_and_every_described_one_exists():
    unused = {field.name: None for field in dataclasses.fields(Front) if field.init}
    routes = {
        (re.sub(r":\w+\}", "}", route.path), method.lower())
        for route in make_router(Front(**unused)).routes
        for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for path, method, _ in OPERATIONS} == routes


def test_every_model_of_the_contract_is_described():
    models = set()
    for module in pkgutil.iter_modules(broker.contract.__path__):
        found = importlib.import_module(f"broker.contract.{module.name}")
        models |= {
            value
            for _, value in inspect.getmembers(found, inspect.isclass)
            if issubclass(value, Wire) and value is not Wire
        }
    # what nobody knows can't be described
    assert models - {shape.model for shape in SHAPES} == {UnknownComponent}


def test_every_property_of_a_model_is_described():
    plain = flat(DOCUMENT)["components"]["schemas"]
    for shape in SHAPES:
        if "properties" in plain[shape.name] and shape.fields is None:
            assert set(plain[shape.name]["properties"]) == set(shape.model.model_fields), shape.name


def test_every_kind_is_described():
    constants = {value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)}
    uris = {uri for uri in constants if uri.endswith((".yaml", "-option", "-update"))}
    described = {
        uri for schema in SCHEMAS.values() for uri in schema.get("discriminator", {}).get("mapping", {})
    }
    # the contract's session without a schedule is never made here, and the contract has no kind of offer sets
    assert described - uris == {kinds.BASE + "session/simple-execution-session.yaml"}
    assert uris - described == {kinds.OFFERSET, kinds.ABSTRACT_COST, kinds.ABSTRACT_METRIC}


# lint


def test_it_is_valid_openapi():
    OpenAPIV31SpecValidator(json.loads(json.dumps(DOCUMENT))).validate()


def test_with_an_issuer_of_tokens_there_are_bearer_tokens():
    document = describe("http://broker.example", "https://iam.example/")
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()
    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"basic", "bearer", "openIdConnect"}
    assert (
        schemes["openIdConnect"]["openIdConnectUrl"] == "https://iam.example/.well-known/openid-configuration"
    )
    assert document["paths"]["/requests"]["post"]["security"] == [{name: []} for name in schemes]


def test_names_of_operations_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=NAMES)
def test_an_operation_is_well_described(path, method, operation):
    assert operation["summary"].endswith((".", "?"))
    assert operation["description"]
    known = {tag["name"] for tag in DOCUMENT["tags"]}
    assert set(operation.get("tags", [])) <= known
    for status, answer in operation["responses"].items():
        assert answer["description"], status
        schemas = {name for body in answer["content"].values() for name in references(body)}
        if status.startswith(("4", "5")) and operation["operationId"] != "Health":
            assert "ErrorResponse" in schemas, status
    errors = [status for status in operation["responses"] if status.startswith("4")]
    assert errors or path.startswith("/openapi.")
    for parameter in operation.get("parameters", []):
        assert parameter["description"]
    assert set(re.findall(r"\{(\w+)\}", path)) == {
        parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"
    }


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=NAMES)
def test_every_document_is_there_in_all_media_types(path, method, operation):
    all_types = {codec.media_types[0] for codec in CODECS}
    assert all_types == {"application/json", "application/yaml", "application/xml"}
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += operation["responses"].values()
    for body in bodies:
        found = set(body["content"])
        assert found - {"text/html"} == all_types or len(found) == 1


def test_every_schema_is_used_and_described():
    used, more = set(), set(references(DOCUMENT["paths"]))
    while more:
        used |= more
        more = {name for each in more for name in references(SCHEMAS[each])} - used
    assert used == set(SCHEMAS)
    assert all(schema["description"] and schema["title"] == name for name, schema in SCHEMAS.items())


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_properties_of_a_schema_are_described(name):
    for part in [SCHEMAS[name], *SCHEMAS[name].get("allOf", [])]:
        for key, schema in part.get("properties", {}).items():
            # these have the names that their standards give them
            known = name in ("IvoaObsCoreItem", "IvoaDataLinkItem")
            assert known or schema.get("description"), key


def test_patterns_are_for_every_engine():
    """RE2, Rust and JavaScript have no look-around, no atomic groups, or no possessive quantifiers."""
    patterns = [schema["pattern"] for schema in SCHEMAS.values() if "pattern" in schema]
    assert len(patterns) == 3
    for pattern in patterns:
        assert "(?" not in pattern
        assert not re.search(r"[*+?}]\+", pattern)


# examples, and real answers


def test_examples_are_what_their_schemas_say():
    count = 0
    for _, _, operation in OPERATIONS:
        for body in operation.get("requestBody", {}).get("content", {}).values():
            (name,) = references(body["schema"])
            for example in body["examples"].values():
                check(example["value"], name)
                count += 1
    for name, schema in SCHEMAS.items():
        for example in schema.get("examples", []):
            check(example, name)
            count += 1
    assert count > 10


def test_the_example_of_a_request_is_understood(client):
    (example,) = DOCUMENT["paths"]["/requests"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ].values()
    document = {**example["value"], "data": []}  # nothing is fetched here, so its size would not be known
    answer = ask(client, document)
    assert answer["result"] == "YES"
    levels = {message["level"] for message in answer["meta"]["messages"]}
    assert "WARN" not in levels, answer["meta"]["messages"]


def test_what_is_answered_is_what_its_schema_says(client):
    offers = ask(client)
    check(offers, "OfferSetResponse")
    assert offers["result"] == "YES"
    check(ask(client, {}), "OfferSetResponse")
    session = client.get(offers["offers"][0]["meta"]["url"], auth=ADA).json()
    check(session, "AbstractExecutionSession")
    refused = client.post("/direct", json={}, auth=ADA)
    assert refused.status_code == 400
    check(refused.json(), "AbstractExecutionSession")
    malformed = client.post("/direct", json={"data": 7, "storage": 8}, auth=ADA)
    assert malformed.status_code == 400
    check(malformed.json(), "ErrorResponse")
    made = client.post("/admin/identities", json=user("eve"), auth=ROOT)
    check(made.json(), "Identity")
    check(client.post("/admin/identities", json=user("eve"), auth=ROOT).json(), "ErrorResponse")
    check(client.get("/health").json(), "Health")
    check(client.get("/sessions", auth=ADA).json(), "SessionPage")
    check(client.get("/offersets", auth=ADA).json(), "OfferSetPage")
    for part in ("executable", "compute"):
        schema = {"executable": "AbstractExecutable", "compute": "AbstractComputeResource"}[part]
        check(client.get(session[part]["meta"]["url"], auth=ADA).json(), schema)
    check(client.get(f"{session['meta']['url']}/logs", auth=ADA).json(), "SessionLogs")
    check(client.get(f"{session['meta']['url']}/storage", auth=ADA).json(), "SessionStorage")
