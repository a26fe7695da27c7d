"""Artifacts, agents, skills, policy and the ledger as the API shows them; and health."""

from django.conf import settings
from rest_framework.test import APIClient

from audit.core.proof import Proof, check_proof
from audit.keys import ring
from audit.models import AuditEvent, Seal
from gateway.health import checks
from governance.models import PolicyManifest
from tests.modelling import POLICY


def verified(kid, data, signature):
    return ring().verify("seal", kid, data, signature)


def test_an_artifact_comes_as_a_download_that_no_browser_opens_in_place(world):
    answer = world.client("ada").get(f"/v1/artifacts/{world.own.artifact}/content")

    assert answer.content == b"# <script>alert(1)</script> Report\n"
    assert answer["Content-Disposition"] == "attachment; filename*=UTF-8''Bericht%20%E2%9C%93.md"
    assert answer["Content-Security-Policy"] == "sandbox"
    assert (answer["X-Content-Type-Options"], answer["Content-Type"]) == ("nosniff", "text/markdown; charset=utf-8")
    entry = AuditEvent.objects.filter(type="artifact.open").latest("pk")
    assert entry.actor == "user:ada"


def test_the_agents_and_the_skills_are_listed_with_what_policy_knows_of_them(world):
    client = world.client("vic")

    agents = client.get("/v1/agents").json()["items"]
    assert [(agent["name"], agent["kind"]) for agent in agents] == [
        ("daneel", "courier"),
        ("ernest", "worker"),
        ("hari", "planner"),
    ]
    skills = {skill["name"]: skill for skill in client.get("/v1/skills").json()["items"]}
    assert (skills["desk.send"]["side_effect"], skills["desk.send"]["idempotent"]) == ("external", False)
    assert {"git.log", "files.write"} <= set(skills)


def test_the_policies_in_force_are_the_platforms_and_the_workspaces(world):
    active = world.client("ada").get("/v1/policies/active").json()["items"]

    assert {policy["scope"] for policy in active} == {"platform", "acme"}
    assert {policy["state"] for policy in active} == {"active"}
    own = next(policy for policy in active if policy["scope"] == "acme")
    assert own["source"] == POLICY and own["id"] == world.own.policy
    assert world.client("ada").get(f"/v1/policies/{own['id']}").json() == own
    assert "source" not in world.client("ada").get("/v1/policies").json()["items"][0]


def check(world, source):
    return world.client("dora").post("/v1/policies/check", {"source": source}, format="json")


def test_a_good_manifest_is_checked_and_not_stored(world):
    before = PolicyManifest.objects.count()

    answer = check(world, POLICY)

    assert (answer.status_code, answer.json()["valid"]) == (200, True)
    assert answer.json()["digest"] == PolicyManifest.objects.get(pk=world.own.policy).digest
    assert PolicyManifest.objects.count() == before


def test_a_warning_says_what_may_be_meant_otherwise(world):
    source = POLICY.replace('because: "it leaves the house"}', 'quorum: 9, because: "it leaves the house"}')

    assert check(world, source).json()["warnings"]


def test_every_error_of_a_manifest_comes_with_its_line_and_column(world):
    source = (
        POLICY.replace("rules:", "rulez: []\nrules:")
        .replace("args.text", "args.repo")
        .replace("ask: operators", "ask: nobody", 1)
    )

    answer = check(world, source)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_manifest")
    places = {error["path"] for error in answer.json()["errors"]}
    lines = source.splitlines()
    assert len(places) >= 3
    for place in places:
        line, column = (int(part) for part in place.split(":"))
        assert 1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1
    wanted = {
        next(at for at, line in enumerate(lines, 1) if text in line) for text in ("rulez", "args.repo", "ask: nobody")
    }
    assert wanted <= {int(place.split(":")[0]) for place in places}


def test_texts_that_are_no_manifest_are_refused(world):
    for source in (
        "",
        "[]",
        "7",
        "a: [",
        "a: &x [*x]",
        "version: 2",
        "version: 1\nversion: 1",
        "\x85",
        "{" * 300,
        "&a [" + "*a," * 99 + "]",
        "!!python/object/apply:os.system ['x']",
        "version: 1\n" + "x: y\n" * 30_000,
    ):
        answer = check(world, source)
        assert (answer.status_code, answer.json()["code"]) in ((400, "invalid_manifest"), (422, "invalid")), (
            source[:30],
            answer.content[:200],
        )
        assert answer.json()["errors"]


# The ledger


def test_the_ledger_shows_a_workspaces_own_entries_with_their_sentences(world):
    entries = world.client("carol").get("/v1/audit/events", {"limit": 200}).json()["items"]

    stored = AuditEvent.objects.filter(workspace=world.house.workspace.pk)
    assert [entry["id"] for entry in entries] == list(stored.newest_first().values_list("pk", flat=True)[:200])
    assert all(entry["sentence"] for entry in entries)


def test_the_ledger_is_searched(world):
    client = world.client("dora")

    def types(**query):
        return {entry["type"] for entry in client.get("/v1/audit/events", query).json()["items"]}

    assert types(type="run.receive") == {"run.receive"}
    assert {name.split(".")[0] for name in types(type="gate.")} == {"gate"}
    assert types(actor="user:ada", run=world.own.run) >= {"run.receive"}
    assert types(since="2999-01-01T00:00:00Z") == types(text="nothing says this") == set()
    for query in (
        {"run": "x"},
        {"since": "then"},
        {"until": "2026-13-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00"},
        {"text": "a\x00"},
    ):
        assert client.get("/v1/audit/events", query).status_code in (400, 404), query


def test_a_proof_from_the_api_holds_without_the_data_base(world):
    body = world.client("carol").get(f"/v1/audit/proof/{world.own.event}").json()

    proof = Proof.from_json(body)
    assert check_proof(proof, verified) == ""
    entry = AuditEvent.objects.get(pk=world.own.event)
    assert (proof.id, proof.position, proof.body) == (entry.pk, entry.position, bytes(entry.body))
    forged = Proof.from_json(
        body
        | {
            "entry": body["entry"]
            | {"body": body["entry"]["body"].replace("ernest", "hari").replace("dora", "ada") + " "}
        }
    )
    assert check_proof(forged, verified) != ""


def test_an_entry_that_is_not_sealed_yet_is_sealed_for_its_proof(world):
    world.journey.ask("One more")
    entry = AuditEvent.objects.filter(type="run.receive").latest("pk")
    assert entry.position is None

    proof = Proof.from_json(world.client("dora").get(f"/v1/audit/proof/{entry.pk}").json())

    assert check_proof(proof, verified) == ""


def test_seals_say_nothing_of_what_was_written(world):
    seals = world.client("olga").get("/v1/audit/seals").json()["items"]

    assert [seal["number"] for seal in seals] == list(Seal.objects.order_by("-number").values_list("number", flat=True))
    assert set(seals[0]["head"]) == {"seal", "tree_size", "root", "at", "kid", "signature"}


# Health


def test_health_says_which_component_is_well_and_nothing_more(world, monkeypatch):
    """It needs no key: what it is built on, and where, is for those who run it."""
    from runtime.pulse import beat

    monkeypatch.setattr("gateway.health.backend_problem", lambda: "")
    beat()
    answer = APIClient().get("/v1/health")

    parts = ("database", "broker", "sealer", "reconciler", "backend", "sinks", "playbooks", "tracing", "memory")
    assert answer.status_code == 200
    assert answer.json() == {
        "healthy": True,
        "version": settings.WORKA_VERSION,
        "checks": {name: {"healthy": True} for name in parts},
    }


def test_what_is_wrong_with_a_component_is_not_told_to_everybody(world, monkeypatch):
    monkeypatch.setattr("gateway.health.backend_problem", lambda: "bubblewrap is not installed in /opt/worka")
    monkeypatch.setattr("gateway.health.log.exception", lambda *args, **facts: None)
    monkeypatch.setattr("gateway.health.sinks_health", lambda: 1 / 0)

    answer = APIClient().get("/v1/health")

    assert (answer.status_code, answer.json()["healthy"]) == (503, False)
    assert answer.json()["checks"]["backend"] == answer.json()["checks"]["sinks"] == {"healthy": False}
    assert "bubblewrap" not in answer.content.decode()
    told = {check.name: check.detail for check in checks()}
    assert (told["backend"], told["sinks"]) == ("bubblewrap is not installed in /opt/worka", "it does not answer")
