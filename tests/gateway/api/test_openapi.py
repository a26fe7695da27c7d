"""The document: valid, without a warning, true; and its page under the site's policy."""

from html.parser import HTMLParser

import jsonschema
import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, strategies
from hypothesis import settings as examples
from rest_framework.test import APIClient
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from audit.core.codes import Code
from gateway.api.stream import events_stream
from runtime.pulse import beat
from tests.gateway.api.routes import BODIES, GUARDED, ROUTES

load_all_checks()
TRUE_TO_ITS_WORD = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    )
]


@pytest.fixture(scope="module")
def document():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GENERATOR_STATS, "_warn_cache", {}, raising=False)
        GENERATOR_STATS.reset()
        return SchemaGenerator().get_schema(request=None, public=True)


def test_the_document_is_valid_and_nothing_in_it_was_guessed(document):
    assert document["openapi"].startswith("3.1")
    validate_schema(document)
    assert not GENERATOR_STATS, GENERATOR_STATS._warn_cache


def test_every_route_is_in_it_with_its_security_and_its_refusals(document):
    listed = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    expected = {(route.method, route.path) for route in ROUTES if route.path not in ("/v1/openapi.json", "/v1/docs")}
    assert listed == expected
    for route in GUARDED:
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["security"] == [{"api_key": []}, {"session": []}], route
        assert {"400", "401", "403", "404", "429"} <= set(operation["responses"]), route
        assert ({"409", "413", "415", "422"} <= set(operation["responses"])) == (route.method == "POST"), route
        assert operation["description"].endswith("."), route
    ids = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(ids) == len(set(ids))


def test_the_problem_has_every_code_of_the_one_list(document):
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == [str(code) for code in Code]


def test_the_document_is_served_as_json(world):
    answer = APIClient().get("/v1/openapi.json")

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/vnd.oai.openapi+json")
    assert answer.json()["info"]["title"] == "Worka"


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.inline, self.sources = [], []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.inside = tag if tag in ("script", "style") and "src" not in given else ""
        if tag == "style":
            self.inline.append(tag)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.sources += [given[name] for name in ("src", "href") if given.get(name)]

    def handle_data(self, data):
        if self.inside == "script" and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag):
        self.inside = ""


def test_the_page_has_nothing_inline_and_everything_from_this_site(world, web):
    import httpx2

    answer = APIClient().get("/v1/docs", HTTP_ACCEPT="text/html")

    page = Page(answer.content.decode())
    assert page.inline == []
    assert len(page.sources) >= 5 and all(
        source.startswith("/") and not source.startswith("//") for source in page.sources
    )
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy
    for source in page.sources:
        found = httpx2.get(web + source, timeout=30) if source.startswith("/static/") else APIClient().get(source)
        assert found.status_code == 200, source
    script = APIClient().get(next(source for source in page.sources if "script" in source))
    assert script["Content-Type"].startswith("application/javascript") and b"/v1/openapi.json" in script.content


# Is it true?


def told(document, route, answer):
    """Check an answer against what the document says of it."""
    operation = document["paths"][route.path][route.method.lower()]
    said = operation["responses"].get(str(answer.status_code))
    assert said, (route, answer.status_code, answer.content[:300])
    if "$ref" in said:
        said = document["components"]["responses"]["Refused"]
    media_type = answer["Content-Type"].split(";")[0]
    if route.path.endswith("/content") and answer.status_code == 200:
        return
    assert media_type in said["content"], (route, media_type)
    body = {"components": document["components"], **said["content"][media_type]["schema"]}
    jsonschema.Draft202012Validator(body).validate(answer.json())


def test_every_answer_of_a_full_workspace_is_as_the_document_says(world, document):
    for name in ("dora", "carol", "ada"):
        client = world.client(name)
        for route in GUARDED:
            if route.view is events_stream:
                continue
            path = world.own.for_path(route.path)
            if route.method == "GET":
                told(document, route, client.get(path))
            else:
                told(document, route, client.post(path, BODIES[route.path], format="json", HTTP_IDEMPOTENCY_KEY=name))
                told(document, route, client.post(path, {"surprise": 1}, format="json"))
            told(document, route, APIClient().generic(route.method, path, b"{}", content_type="application/json"))


OPERATIONS = sorted(
    (route.method, route.path)
    for route in ROUTES
    if route.path not in ("/v1/openapi.json", "/v1/docs", "/v1/events/stream")
)


@pytest.fixture
def application(world, monkeypatch):
    """A healthy site as an application that works in the transaction of the test, as Django's own client does."""
    monkeypatch.setattr("gateway.health.backend_problem", lambda: "")
    beat()
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield WSGIHandler()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_that_is_sent_breaks_it(world, application, document, method, path):
    """Requests that fit the document and requests that do not: no 5xx, and no answer that the document does not tell."""
    schema = schemathesis.openapi.from_dict(document)
    schema.app = application
    operation = schema[path][method]
    key = world.key("dora")
    ids = {
        "run": world.own.run,
        "gate": world.own.gate,
        "call": world.own.call,
        "artifact": world.own.artifact,
        "policy": world.own.policy,
        "event": world.own.event,
    }
    cases = strategies.one_of(
        operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    )

    @given(case=cases, is_real=strategies.booleans())
    @examples(
        max_examples=6,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case, is_real):
        if is_real and case.path_parameters:
            case.path_parameters = {name: ids[name] for name in case.path_parameters}
        headers = {"Authorization": f"Bearer {key}"}
        if method == "POST" and case.headers.get("Idempotency-Key"):
            headers["Idempotency-Key"] = "k" * 8
        case.call_and_validate(headers=headers, checks=TRUE_TO_ITS_WORD)

    send()
