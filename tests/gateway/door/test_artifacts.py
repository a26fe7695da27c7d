"""POST /artifacts and GET /artifacts/{id}: evidence of the agent's own run, and of no other."""

import hashlib
from uuid import uuid4

from governance.actions.artifacts import LARGEST
from governance.models import Artifact, EncryptedPayload, Gate
from tests.desk import step
from tests.gateway.door.visitors import visit


def sha(content):
    return hashlib.sha256(content).hexdigest()


def keep(visitor, content=b"# Report", name="report.md", media_type="text/markdown", digest=None, **fields):
    return visitor.post(
        "/artifacts",
        files={"file": (name, content, "application/x-anything")},
        data={"media_type": media_type, "sha256": digest or sha(content), **fields},
    )


def test_an_artifact_is_kept_with_its_gate_and_read_again(ernest, working):
    answer = keep(ernest)

    kept = Artifact.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": str(kept.pk),
        "name": "report.md",
        "media_type": "text/markdown",
        "size": 8,
        "sha256": sha(b"# Report"),
    }
    assert (kept.run_id, kept.step_id, kept.produced_by) == (working.run.pk, ernest.job.step_id, "ernest")
    read = ernest.get(f"/artifacts/{kept.pk}")
    assert (read.content, read.headers["x-artifact-media-type"]) == (b"# Report", "text/markdown")
    assert [(gate.action, gate.effect) for gate in ernest.gates()] == [
        ("artifact.write", "allow"),
        ("artifact.read", "allow"),
    ]


def test_the_same_artifact_again_is_the_same(ernest):
    assert keep(ernest).json() == keep(ernest).json()
    assert Artifact.objects.count() == 1


def test_content_with_another_sha_is_refused_and_gated(ernest):
    for digest in (sha(b"other"), "", "x", sha(b"# Report").upper()):
        answer = keep(ernest, digest=digest or "0")
        ernest.denied(answer, 422, "bad_input", "artifact.write")
    assert not Artifact.objects.exists()


def test_names_that_are_no_plain_file_names_are_refused_and_gated(ernest):
    for name in ("../etc/passwd", "a/b", "a\\b", ".hidden", "..", "x" * 161, "a\u202eb.md", "a\u0085b"):
        ernest.denied(keep(ernest, name=name), 422, "invalid", "artifact.write")
    assert not Artifact.objects.exists()
    assert keep(ernest, name="Bericht über Ä ✓.md").status_code == 201


def test_media_types_outside_the_list_are_refused_and_gated(ernest):
    for media_type in ("text/html", "image/svg+xml", "application/javascript", "text/markdown; charset=x", "x" * 500):
        ernest.denied(keep(ernest, media_type=media_type), 415, "unsupported_media_type", "artifact.write")
    assert not Artifact.objects.exists()


def test_an_artifact_that_is_too_large_is_refused_and_gated(ernest):
    payloads = EncryptedPayload.objects.filter(kind="artifact")

    ernest.denied(keep(ernest, b"x" * (LARGEST + 1)), 413, "too_large", "artifact.write")
    ernest.denied(keep(ernest, b"x" * (LARGEST + 2**20)), 413, "too_large", "artifact.write")
    assert not Artifact.objects.exists() and not payloads.exists()
    assert keep(ernest, b"x" * LARGEST).status_code == 201


def test_a_step_keeps_at_most_twenty(ernest):
    for number in range(20):
        assert keep(ernest, str(number).encode()).status_code == 201

    ernest.denied(keep(ernest, b"one more"), 413, "too_large", "artifact.write")


def test_forms_of_another_shape_are_refused_and_gated(ernest):
    good = {"media_type": "text/plain", "sha256": sha(b"a")}
    upload = ("a.txt", b"a", "text/plain")
    for files, data in (
        ({"file": upload}, good | {"extra": "1"}),
        ({"file": upload}, {"sha256": sha(b"a")}),
        ({"other": upload}, good),
        (
            [
                ("file", upload),
                ("sha256", (None, sha(b"a"))),
                ("sha256", (None, sha(b"b"))),
                ("media_type", (None, "text/plain")),
            ],
            None,
        ),
    ):
        ernest.denied(ernest.post("/artifacts", files=files, data=data), 422, "invalid", "artifact.write")
    two = [("file", upload), ("file", upload)]
    ernest.denied(ernest.post("/artifacts", files=two, data=good), 400, "bad_request", "artifact.write")
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = ernest.ask("POST", "/artifacts", content=b"no form", headers={"Content-Type": content_type})
        ernest.denied(answer, answer.status_code, answer.json()["code"], "artifact.write")
        assert answer.status_code in (400, 422)
    ernest.denied(ernest.post("/artifacts", {"file": "x"}), 415, "unsupported_media_type", "artifact.write")
    ernest.denied(keep(ernest, agent="hari"), 403, "identity_mismatch", "artifact.write")
    assert keep(ernest, agent="ernest").status_code == 201


def test_an_artifact_of_another_run_is_not_there_and_the_try_is_gated(ernest, working, door_socket):
    first = working.run
    working.ask("Another")
    working.propose(step("look", ("a", "peek", "x")))
    stranger = visit(door_socket, working, "look")
    foreign = keep(stranger, b"theirs").json()["id"]
    working.run = first

    ernest.denied(ernest.get(f"/artifacts/{foreign}"), 404, "not_found", "artifact.read")
    ernest.denied(ernest.get(f"/artifacts/{uuid4()}"), 404, "not_found", "artifact.read")
    ernest.denied(ernest.get("/artifacts/none"), 404, "not_found", "artifact.read")
    assert stranger.get(f"/artifacts/{foreign}").content == b"theirs"
    stranger.http.close()


def test_reading_an_artifact_taints_the_reader(visitor_of, working):
    ernest = visitor_of("look")
    ernest.post("/skills", {"call": "a"})
    kept = keep(ernest).json()["id"]
    other = visitor_of("send")
    assert working.step("send").taint == []

    assert other.get(f"/artifacts/{kept}").status_code == 200

    assert set(working.step("send").taint) == {"reads_private", "untrusted_output"}
    assert Artifact.objects.get().taint == working.step("look").taint


def test_a_planner_may_not_keep_artifacts_when_policy_does_not_let_it(planner):
    planner.denied(keep(planner), 403, "policy_denied", "artifact.write")
    assert not Artifact.objects.exists() and Gate.objects.get().agent_name == "hari"
