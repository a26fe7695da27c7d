"""What agents leave behind: artifacts with the taint of who made them, burns, and gates of what was refused at the edge."""

import hashlib
from uuid import uuid4

import pytest

from audit.core.codes import Code
from audit.models import AuditEvent
from governance.actions.artifacts import LARGEST, MOST_PER_STEP, read_artifact, store_artifact
from governance.actions.burns import burn_output
from governance.actions.door import ask, deny
from governance.actions.plans import refuse_unread
from governance.models import Artifact, Burn, EncryptedPayload, Gate
from governance.payloads import content_of
from tests import desk
from tests.desk import step
from tests.people import use_policy


@pytest.fixture
def working(j):
    """A run with two steps at work: one has read strangers' letters, the other has not."""
    j.ask()
    j.propose(step("read", ("a", "read", "x")), step("other", ("b", "peek", "x")))
    j.call("read", "a")
    return j


def store(j, ref="read", name="a.txt", content=b"theirs", media_type="text/plain"):
    return store_artifact(
        j.caller(j.step(ref)),
        name=name,
        media_type=media_type,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def test_an_artifact_is_sealed_and_has_the_taint_of_its_step(working):
    artifact, gate = store(working)

    assert (gate.action, gate.effect, gate.subject) == ("artifact.write", "allow", "a.txt")
    assert artifact.taint == ["reads_private", "untrusted_output"] and artifact.produced_by == "ernest"
    assert content_of(artifact.content) == b"theirs" and b"theirs" not in bytes(artifact.content.blob)
    assert AuditEvent.objects.get(type="artifact.store").facts["sha256"] == artifact.sha256


def test_the_same_artifact_twice_is_one_and_another_content_is_another(working):
    first, again, other = store(working)[0], store(working)[0], store(working, content=b"more")[0]

    assert first == again != other
    assert Artifact.objects.count() == 2 and EncryptedPayload.objects.filter(kind="artifact").count() == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [({"media_type": "text/html"}, "unsupported_media_type"), ({"content": b"x" * (LARGEST + 1)}, "too_large")],
)
def test_what_is_no_artifact_is_a_denied_gate(working, more, code):
    artifact, gate = store(working, **more)

    assert (artifact, gate.state, gate.code) == (None, "denied", code)
    assert not Artifact.objects.exists()


def test_a_step_has_only_so_many_artifacts(working):
    for number in range(MOST_PER_STEP):
        assert store(working, name=f"{number}.txt")[0] is not None

    assert store(working, name="more.txt")[1].code == "too_large"
    assert store(working, ref="other")[0] is not None


def test_who_reads_an_artifact_has_read_what_its_maker_has(working):
    artifact, _ = store(working)
    assert working.step("other").taint == []

    found, gate = read_artifact(working.caller(working.step("other")), artifact.pk)

    assert found == (artifact, b"theirs") and gate.effect == "allow"
    assert working.step("other").taint == ["reads_private", "untrusted_output"]


def test_an_artifact_of_another_run_is_not_there(working):
    artifact, _ = store(working)
    working.ask()
    working.propose(step("mine", ("a", "peek", "x")))
    caller = working.caller(working.step("mine"))

    for pk in (artifact.pk, uuid4()):
        found, gate = read_artifact(caller, pk)
        assert (found, gate.state, gate.code) == (None, "denied", "not_found")
    assert working.step("mine").taint == []


def test_artifacts_need_policy(working):
    artifact, _ = store(working)
    use_policy(
        working.house.workspace,
        desk.POLICY.replace("artifact.read, artifact.write, step.finish], skills", "step.finish], skills"),
    )

    assert store(working, name="b.txt")[0] is None
    found, gate = read_artifact(working.caller(working.step("other")), artifact.pk)

    assert (found, gate.code) == (None, "policy_denied") and working.step("other").taint == []


def test_a_planner_leaves_artifacts_only_where_policy_lets_it(j):
    j.ask()
    assert store_artifact(j.caller(), name="a.txt", media_type="text/plain", content=b"x", sha256="0" * 64)[0] is None

    use_policy(
        j.house.workspace,
        desk.POLICY.replace(
            "[context.read, plan.propose]", "[context.read, plan.propose, artifact.read, artifact.write]"
        ),
    )
    artifact, _ = store_artifact(j.caller(), name="a.txt", media_type="text/plain", content=b"x", sha256="0" * 64)
    found, _ = read_artifact(j.caller(), artifact.pk)

    assert (artifact.step, artifact.taint, found[1]) == (None, [], b"x")


def test_what_cannot_be_read_as_a_result_burns(working):
    burn = burn_output(working.caller(working.step("read")), "this is not a result: the body: it is no JSON")

    assert (burn.kind, burn.step_id, Burn.objects.count()) == ("bad_output", working.step("read").pk, 1)
    assert AuditEvent.objects.get(type="burn.store").facts["kind"] == "bad_output"


def test_every_question_leaves_a_gate_allowed_or_denied(working):
    caller = working.caller(working.step("read"))

    allowed, beyond = ask(caller, "context.read"), ask(caller, "memory.read", subject="everything")
    edge = deny(
        caller,
        "skill.invoke",
        Code.IDENTITY_MISMATCH,
        "the body names another run",
        subject="x" * 400,
        call_id="y" * 400,
    )

    assert (allowed.state, beyond.state, beyond.subject) == ("allowed", "denied", "everything")
    assert (edge.state, edge.code, len(edge.subject), len(edge.call_id)) == ("denied", "identity_mismatch", 160, 64)
    assert Gate.objects.filter(pk__in=[allowed.pk, beyond.pk, edge.pk]).count() == 3


def test_a_plan_that_is_too_large_to_read_is_refused_and_counts(j):
    j.ask()

    proposed = refuse_unread(j.caller(), code=Code.TOO_LARGE, message="a plan has at most 1 MiB")

    j.run.refresh_from_db()
    assert (proposed.state, proposed.plan.raw, proposed.gate.state, j.run.planning_attempts) == (
        "refused",
        None,
        "denied",
        1,
    )
