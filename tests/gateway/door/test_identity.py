"""Who the door believes: the token alone, and only while its job is wanted."""

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from uuid import uuid4

import jwt
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.utils.timezone import now

from audit.keys import generate_key_file, ring
from audit.principals import SYSTEM
from governance.actions.runs import cancel_run
from governance.models import Gate, Run, SkillInvocation
from runtime.actions import kill_job
from runtime.models import AgentJob
from tests.people import build_house

NAMES = ["agent", "agent_name", "run", "run_id", "step", "step_id", "job", "workspace", "sub"]


def claims(job, **changes):
    found = {
        "iss": settings.WORKA_ISSUER,
        "aud": "worka-agent",
        "sub": f"agent:{job.agent_name}",
        "ws": str(job.workspace_id),
        "run": str(job.run_id),
        "step": str(job.step_id),
        "jti": str(job.pk),
        "iat": now(),
        "nbf": now(),
        "exp": now() + timedelta(minutes=5),
    }
    found |= changes
    return {name: value for name, value in found.items() if value is not None}


def signed(body, *, key=None, kid=None, algorithm="EdDSA"):
    own_kid, own = next(iter(ring().token_keys()))
    return jwt.encode(body, key or own, algorithm=algorithm, headers={"kid": kid or own_kid})


def refused(visitor, token, code="unauthorized"):
    before = Gate.objects.count()
    visitor.token = token
    answer = visitor.post("/heartbeat", {})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert Gate.objects.count() == before


def test_the_token_that_runtime_mints_opens_the_door(ernest):
    assert ernest.post("/heartbeat", {}).json() == {"wanted": True}


def test_the_same_claims_signed_here_by_hand_open_it_too(ernest):
    ernest.token = signed(claims(ernest.job))

    assert ernest.post("/heartbeat", {}).status_code == 200


def test_a_token_that_was_good_a_moment_ago_ends_when_it_says(ernest):
    ernest.token = signed(claims(ernest.job, exp=now() + timedelta(seconds=20)))
    assert ernest.post("/heartbeat", {}).status_code == 200

    with time_machine.travel(now() + timedelta(seconds=31), tick=False):
        refused(ernest, ernest.token)


def test_a_token_that_was_good_a_moment_ago_dies_with_its_key(ernest, settings, tmp_path):
    assert ernest.post("/heartbeat", {}).status_code == 200

    generate_key_file(tmp_path / "other.json")
    settings.WORKA_KEYS_FILE = tmp_path / "other.json"
    refused(ernest, ernest.token)


OTHER_CLAIMS = [
    {"iss": "https://elsewhere.example"},
    {"iss": None},
    {"aud": "worka-api"},
    {"aud": None},
    {"sub": None},
    {"ws": None},
    {"run": None},
    {"jti": None},
    {"exp": None},
    {"nbf": None},
    {"iat": None},
    {"exp": now() - timedelta(minutes=1)},
    {"nbf": now() + timedelta(hours=1)},
    {"jti": "no id"},
    {"jti": str(uuid4())},
    {"run": str(uuid4())},
    {"ws": str(uuid4())},
    {"step": str(uuid4())},
    {"step": None},
    {"sub": "agent:hari"},
    {"sub": "user:ada"},
    {"sub": "ernest"},
    {"jti": ["a", "list"]},
    {"step": 7},
]


def test_a_token_with_any_other_claim_is_refused(ernest):
    for changes in OTHER_CLAIMS:
        ernest.token = signed(claims(ernest.job, **changes))
        assert ernest.post("/heartbeat", {}).status_code == 401, changes
    assert not ernest.gates()


def test_a_token_of_another_key_is_refused_under_any_name_of_a_key(ernest):
    strange = Ed25519PrivateKey.generate()

    refused(ernest, signed(claims(ernest.job), key=strange))
    refused(ernest, signed(claims(ernest.job), key=strange, kid="nobody's"))


def test_an_unsigned_token_is_refused(ernest):
    kid, _ = next(iter(ring().token_keys()))
    for header in ({"alg": "none"}, {"alg": "none", "kid": kid}):
        refused(ernest, jwt.encode(claims(ernest.job), None, algorithm="none", headers=header))
    head, body, _ = signed(claims(ernest.job)).split(".")
    for algorithm in ("none", "NONE", "None", "HS256", "ed25519", "", 7, None):
        named = json.dumps({"alg": algorithm, "kid": kid, "typ": "JWT"}).encode()
        refused(ernest, f"{urlsafe_b64encode(named).decode().rstrip('=')}.{body}.")
    refused(ernest, f"{head}.{body}.")
    refused(ernest, f"{head}.{body}")


def test_the_public_key_is_no_secret_to_sign_with(ernest):
    _, key = next(iter(ring().token_keys()))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    for secret in (public, urlsafe_b64encode(public)):
        refused(ernest, signed(claims(ernest.job), key=secret.ljust(32, b"="), algorithm="HS256"))


def test_what_is_no_token_is_refused(ernest):
    for header in ("", "Bearer", "Bearer .", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5000, "Bearer \u00e9"):
        answer = ernest.http.get("/agent/v1/context", headers={"Authorization": header.encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert ernest.http.get("/agent/v1/context").status_code == 401
    assert not ernest.gates()


def test_a_token_is_dead_the_moment_its_run_is_cancelled(ernest, working):
    cancel_run(working.run.pk, by=working.house.by("ada"), because="enough")

    for method, path in (("GET", "/context"), ("POST", "/heartbeat"), ("GET", "/skills/a")):
        answer = ernest.ask(method, path)
        assert (answer.status_code, answer.json()["code"]) == (401, "job_over")
    assert ernest.post("/skills", {"call": "a"}).json()["code"] == "job_over"
    assert not SkillInvocation.objects.exists()
    assert not ernest.gates()


def test_a_token_is_dead_when_its_attempt_is_over(ernest, working):
    kill_job(ernest.job.pk, by=working.house.by("dora"), because="it hangs")

    answer = ernest.get("/context")

    assert (answer.status_code, answer.json()["code"]) == (401, "job_over")


def test_a_planners_token_is_dead_when_the_plan_is_there(planner, planning):
    from tests.desk import step

    planning.propose(step("look", ("a", "peek", "x")))

    assert planner.get("/context").json()["code"] == "job_over"


def test_the_token_of_another_workspace_opens_only_its_own_run(ernest, working):
    other = build_house("umbrella")
    job = AgentJob.objects.get(pk=ernest.job.pk)

    refused(ernest, signed(claims(job, ws=str(other.workspace.pk))))


# Names in the body


def test_a_body_that_names_somebody_else_is_refused_and_gated(ernest):
    for count, name in enumerate(NAMES, start=1):
        gate = ernest.denied(
            ernest.post("/skills", {"call": "a", name: "hari"}), 403, "identity_mismatch", "skill.invoke"
        )
        assert (gate.agent_name, gate.caller) == ("ernest", "agent:ernest")
        assert name in gate.reason
        assert len(ernest.gates()) == count
    assert not SkillInvocation.objects.exists()


def test_a_name_is_equal_only_as_the_same_text(ernest):
    for value in (None, 7, ["ernest"], {"name": "ernest"}, "", " ernest", "Ernest"):
        ernest.denied(ernest.post("/skills", {"call": "a", "agent": value}), 403, "identity_mismatch", "skill.invoke")


def test_names_that_repeat_the_token_are_ignored(ernest, working):
    own = {
        "agent": "ernest",
        "agent_name": "ernest",
        "sub": "agent:ernest",
        "run": str(working.run.pk),
        "run_id": str(working.run.pk),
        "step": str(ernest.job.step_id),
        "step_id": str(ernest.job.step_id),
        "job": ernest.job.name,
        "workspace": str(working.house.workspace.pk),
    }
    assert set(own) == set(NAMES)

    assert ernest.post("/skills", {"call": "b", **own}).json()["state"] == "succeeded"
    assert ernest.post("/events", {"lines": ["so"], **own}).status_code == 200
    assert ernest.put("/checkpoint", {"seq": 1, "state": {}, **own}).status_code == 200
    assert ernest.post("/heartbeat", own).status_code == 200
    assert ernest.post("/result", {"status": "succeeded", **own}).status_code == 200


def test_names_below_the_top_level_are_data(ernest):
    answer = ernest.post("/skills", {"call_id": "x", "skill": "desk.peek", "input": {"text": "agent"}})
    assert answer.json()["state"] == "succeeded"

    assert ernest.put("/checkpoint", {"seq": 1, "state": {"agent": "hari"}}).status_code == 200
    assert (
        ernest.post("/result", {"status": "succeeded", "output": {"run": "another", "agent": "hari"}}).status_code
        == 200
    )


def test_every_verb_refuses_the_name_of_another_run(ernest, working):
    verbs = [
        ("POST", "/result", {"status": "succeeded"}),
        ("PUT", "/checkpoint", {"seq": 1, "state": 1}),
        ("POST", "/events", {"lines": []}),
        ("POST", "/heartbeat", {}),
    ]
    for method, path, body in verbs:
        answer = ernest.ask(method, path, json={**body, "run": str(uuid4())})
        assert (answer.status_code, answer.json()["code"]) == (403, "identity_mismatch")
    assert [gate.action for gate in ernest.gates()] == ["step.finish"]
    assert working.step("look").state == "running"


def test_a_plan_that_names_another_run_is_refused_and_is_no_proposal(planner, planning):
    from tests.desk import plan, step

    body = plan(step("look", ("a", "peek", "x"))) | {"run": str(uuid4())}
    planner.denied(planner.post("/plan", body), 403, "identity_mismatch", "plan.propose")

    assert not planning.run.plans.exists()
    assert Run.objects.get().planning_attempts == 0


def test_the_agents_of_steps_in_a_plan_are_proposals_and_no_identity(planner, planning):
    from tests.desk import plan, step

    assert planner.post("/plan", plan(step("look", ("a", "peek", "x"), agent="ernest"))).status_code == 201
    assert planning.step("look").agent_name == "ernest"


# Who may ask for what


def test_a_plan_by_ernest_is_refused_and_gated(ernest, working):
    from tests.desk import plan, step

    gate = ernest.denied(
        ernest.post("/plan", plan(step("x", ("a", "peek", "x")))), 403, "policy_denied", "plan.propose"
    )

    assert gate.reason == "only the planner proposes plans"
    assert working.run.plans.count() == 1


def test_a_call_a_result_and_a_checkpoint_by_hari_are_refused(planner, planning):
    gate = planner.denied(planner.post("/skills", {"call": "a"}), 403, "policy_denied", "skill.invoke")
    assert gate.reason == "a planner calls no skills"

    planner.denied(planner.post("/result", {"status": "succeeded"}), 403, "forbidden", "step.finish")
    assert planner.put("/checkpoint", {"seq": 1, "state": 1}).status_code == 403
    planning.run.refresh_from_db()
    assert planning.run.state == "planning"


def test_an_action_outside_an_agents_entry_is_refused_and_gated(visitor_of, working):
    daneel = visitor_of("tell")

    files = {"file": ("a.txt", b"a", "text/plain")}
    answer = daneel.post("/artifacts", files=files, data={"media_type": "text/plain", "sha256": SHA_OF_A})
    gate = daneel.denied(answer, 403, "policy_denied", "artifact.write")

    assert "daneel" in gate.reason
    assert not working.run.artifacts.exists()


def test_a_disabled_agent_is_refused_from_the_next_decision_on(ernest):
    from governance.actions.freezing import disable
    from governance.models import Agent

    disable(Agent.objects.get(name="ernest"), by=SYSTEM, because="it misbehaves")

    ernest.denied(ernest.get("/context"), 409, "frozen", "context.read")
    ernest.denied(ernest.post("/skills", {"call": "b"}), 409, "frozen", "skill.invoke")


def test_what_the_door_does_not_have_is_said_in_the_same_shape(ernest):
    token = ernest.token
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("POST", "/context", 405),
        ("DELETE", "/skills", 405),
        ("GET", "/skills", 405),
        ("PATCH", "/result", 405),
        ("POST", "/llm/v1/complete", 404),
    ):
        # With a token or without: the door says so before it knows who asks.
        for ernest.token in (token, "none"):
            answer = ernest.ask(method, path)
            assert answer.status_code == status
            assert ("allow" in answer.headers) == (status == 405)


def test_the_socket_serves_nothing_but_the_door(ernest):
    for path in ("/", "/v1/runs", "/admin/", "/agent", "/static/worka/base.css"):
        assert ernest.http.get(path).status_code == 404


SHA_OF_A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
