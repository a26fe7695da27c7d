"""One shape for every no, and a correlation id on everything."""

import json

import httpx2
import pytest
from django.db import transaction
from rest_framework.test import APIClient

from audit.core.codes import Code
from audit.models import AuditEvent
from gateway.api import errors

MEMBERS = {"type", "title", "status", "detail", "code", "correlation_id"}


def is_problem(answer, status, code):
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.content[
        :300
    ]
    problem = json.loads(answer.content)
    assert set(problem) >= MEMBERS
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:worka:problem:{code}")
    assert Code(code).status == status
    assert problem["correlation_id"] == answer.headers["X-Correlation-Id"]
    return problem


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/v1/"),
        ("get", "/v1/nothing"),
        ("post", "/v1/nothing"),
        ("get", "/v1/runs/"),
        ("delete", "/v1/nothing/at/all"),
        ("get", "/v1/audit/proof/x"),
        ("get", "/v1/audit/proof/-1"),
        ("get", "/v1/health/"),
        ("put", "/v1/%00"),
        ("options", "/v1/x"),
    ],
)
def test_addresses_that_are_not_there_say_so(world, method, path):
    is_problem(getattr(world.client("dora"), method)(path), 404, "not_found")
    is_problem(getattr(APIClient(), method)(path), 404, "not_found")


def test_ids_that_are_none_are_not_there(world):
    client = world.client("dora")
    for path in ("/v1/runs/{}", "/v1/runs/{}/steps", "/v1/approvals/{}", "/v1/artifacts/{}/content", "/v1/policies/{}"):
        for name in (
            "x",
            "0",
            "99999999999999999999",
            "%23",
            "a%00b",
            "é",
            "00000000-0000-0000-0000-000000000000",
            "..%2f..",
            "%F0%9F%92%A9",
        ):
            is_problem(client.get(path.format(name)), 404, "not_found")


def test_a_proof_of_an_entry_with_an_impossible_number_is_not_there(world):
    for event in (0, 2**31, 2**63 - 1, 2**63, 10**30):
        is_problem(world.client("dora").get(f"/v1/audit/proof/{event}"), 404, "not_found")


def test_methods_that_are_not_there_say_which_are(world):
    client = world.client("dora")
    for method, path, allowed in (
        ("delete", "/v1/runs", "GET, HEAD, POST"),
        ("put", "/v1/runs/1", "GET, HEAD"),
        ("patch", "/v1/policies/active", "GET, HEAD"),
        ("post", "/v1/runs/1", "GET, HEAD"),
        ("get", "/v1/runs/1/cancel", "POST"),
        ("options", "/v1/runs", "GET, HEAD, POST"),
        ("head", "/v1/runs/1/cancel", "POST"),
    ):
        answer = getattr(client, method)(path)
        assert answer.status_code == 405 and answer["Allow"] == allowed, (method, path, answer["Allow"])
        if method != "head":
            is_problem(answer, 405, "method_not_allowed")
    for path in ("/v1/health", "/v1/openapi.json"):
        is_problem(APIClient().post(path), 405, "method_not_allowed")


def test_head_is_get_without_a_body(world):
    answer = world.client("dora").head("/v1/runs")

    assert answer.status_code == 200 and answer["RateLimit-Limit"] == "600"


def test_other_media_types_are_refused(world):
    client = world.client("ada")
    for content_type in (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/xml",
        "application/yaml",
        "nonsense",
    ):
        is_problem(
            client.generic("POST", "/v1/runs", b"request=x", content_type=content_type, HTTP_IDEMPOTENCY_KEY="k"),
            415,
            "unsupported_media_type",
        )
    for accepted in ("text/html", "application/xml", "image/png"):
        is_problem(client.get("/v1/runs", HTTP_ACCEPT=accepted), 406, "not_acceptable")
    assert client.get("/v1/runs", HTTP_ACCEPT="text/html, application/json;q=0.5").status_code == 200


def test_bodies_that_are_not_canonical_json_are_refused(world):
    client = world.client("ada")
    for body in (
        b"{",
        b"\xff",
        b'{"request": "a", "request": "b"}',
        b'{"request": "x", "metadata": {"n": 9007199254740993}}',
        b'{"request": "x", "metadata": {"n": NaN}}',
        b'{"request": "\\ud800"}',
        b'{"request": "a\\u0000b"}',
        b'{"request": "x"} more',
        b'{"request": "x", "metadata": ' + b'{"a": ' * 70 + b"1" + b"}" * 71,
        b"[" * 200_000,
    ):
        answer = client.generic("POST", "/v1/runs", body, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k")
        is_problem(answer, 422, "not_canonical")
    for body in (b"[]", b"7", b'"x"', b"null"):
        is_problem(
            client.generic("POST", "/v1/runs", body, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k"),
            422,
            "invalid",
        )


def test_bodies_that_are_too_large_are_refused(world):
    for size in (2**20, 5 * 2**20):
        body = b'{"request": "' + b"x" * size + b'"}'
        is_problem(
            world.client("ada").generic(
                "POST", "/v1/runs", body, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k"
            ),
            413,
            "too_large",
        )


def test_a_correlation_id_is_read_kept_and_answered(world):
    answer = world.client("ada").post(
        "/v1/runs", {"request": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k", HTTP_X_CORRELATION_ID="case-7"
    )

    assert answer["X-Correlation-Id"] == "case-7"
    assert AuditEvent.objects.filter(correlation_id="case-7", type="run.receive").exists()
    found = world.client("dora").get("/v1/audit/events", {"correlation_id": "case-7"}).json()["items"]
    assert [entry["type"] for entry in found] == ["run.receive"]


def test_a_correlation_id_that_could_harm_a_log_is_replaced(world):
    for given in ("a b", "x" * 65, "a\u00e9", "<x>", ""):
        made = world.client("ada").get("/v1/runs", HTTP_X_CORRELATION_ID=given)["X-Correlation-Id"]
        assert made != given and len(made) == 36


def test_what_nobody_foresaw_is_logged_and_says_nothing_of_itself(world, monkeypatch):
    said = []
    monkeypatch.setattr(errors.log, "error", lambda event, **facts: said.append((event, facts)))
    monkeypatch.setattr("governance.queries.agents", lambda: 1 / 0)

    problem = is_problem(world.client("dora").get("/v1/agents"), 500, "internal")

    assert "zero" not in json.dumps(problem).lower()
    assert said[0][0] == "api_failed" and isinstance(said[0][1]["exc_info"], ZeroDivisionError)


def test_what_django_refuses_before_any_view_has_the_same_shape_below_v1(world):
    client = world.client("dora")

    is_problem(client.get("/v1/runs", HTTP_HOST="evil.example"), 400, "bad_request")
    page = client.get("/admin/", HTTP_HOST="evil.example")
    assert page.status_code == 400 and page["Content-Type"].startswith("text/html")


def test_nothing_is_kept_of_a_request_that_failed(world, monkeypatch):
    from gateway.models import IdempotencyRecord
    from governance.models import Run

    monkeypatch.setattr("governance.actions.runs.create_data_key", lambda run: 1 / 0)
    before = Run.objects.count()
    with transaction.atomic():
        answer = world.client("ada").post("/v1/runs", {"request": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    is_problem(answer, 500, "internal")
    assert (Run.objects.count(), IdempotencyRecord.objects.count()) == (before, 0)


def test_answers_are_not_stored_by_anybody_on_the_way(world):
    for path in ("/v1/runs", "/v1/nothing-there", f"/v1/artifacts/{world.own.artifact}/content"):
        answer = world.client("dora").get(path)
        assert answer["Cache-Control"] == "no-store", path
        assert answer["X-Content-Type-Options"] == "nosniff"


def test_the_same_shape_comes_over_real_http(living_world, web):
    headers = {"Authorization": f"Bearer {living_world.key('dora')}"}
    with httpx2.Client(base_url=web, headers=headers, timeout=30) as http:
        is_problem(http.get("/v1/nothing"), 404, "not_found")
        is_problem(http.get("/v1/runs/x"), 404, "not_found")
        is_problem(http.get("/v1/runs", headers={"Authorization": "Bearer wk_x_y"}), 401, "unauthorized")
        is_problem(
            http.post(
                "/v1/runs",
                content=b"x" * 2 * 2**20,
                headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
            ),
            413,
            "too_large",
        )
        is_problem(http.get("/v1/events/stream", params={"cursor": "x"}), 400, "bad_request")
        is_problem(http.get("/v1/runs", params={"requester": "\x00"}), 400, "bad_request")
        assert http.get("/v1/runs").status_code == 200
        assert http.get("/v1").history == [] and http.get("/v1").status_code in (301, 404)
