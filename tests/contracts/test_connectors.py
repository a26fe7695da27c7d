"""The promises of gateway/connector.py, kept by every file in gateway/connectors/ and by the fake."""

import dataclasses
import inspect
import re
import time
from types import SimpleNamespace
from uuid import uuid4

import jsonschema
import pytest

from audit.core.canonical import canonical
from gateway.connector import (
    CallContext,
    Connector,
    Outcome,
    SkillFailed,
    SkillSpec,
    UsedConnection,
    all_connectors,
    all_skills,
    digest_of,
)
from governance.models import Workspace
from tests.fakes_connector import FakeConnector
from tests.gateway.connectors.repositories import Repo
from tests.gateway.site import answer, serving_site
from tests.wire.github import TOKEN, github_stub

CONNECTORS = {**all_connectors(), "fake": FakeConnector}
SPECS = [(connector, spec) for connector in CONNECTORS.values() for spec in connector.skills]
DEFAULTS = {
    "git.log": {},
    "git.shortlog": {},
    "git.diffstat": {},
    "git.diff": {},
    "git.show": {"path": "a.txt"},
    "git.grep": {"pattern": "text"},
    "files.list": {},
    "files.read": {"path": "kept.md"},
    "files.search": {"text": "kept"},
    "files.write": {"path": "new.md", "content": "# New\n"},
    "github.list_issues": {"repo": "acme/orders"},
    "github.get_issue": {"repo": "acme/orders", "number": 5},
    "github.create_issue": {"repo": "acme/orders", "title": "Broken"},
    "github.comment_on_issue": {"repo": "acme/orders", "number": 5, "body": "Me too."},
    "github.list_pull_requests": {"repo": "acme/orders"},
    "github.get_pull_request": {"repo": "acme/orders", "number": 3},
    "github.list_pull_request_files": {"repo": "acme/orders", "number": 3},
    "github.get_file": {"repo": "acme/orders", "path": "README.md"},
    "http.get": {"url": "http://127.0.0.1:{port}/"},
    "fake.look": {"what": "x"},
    "fake.note": {"what": "x"},
    "fake.send": {"what": "x"},
}
"""Arguments with which each skill works, in the places made below. A new skill needs its own here."""

GARBAGE = [
    {},
    {"repository": None, "path": None, "what": None},
    {"repository": 7, "path": [], "content": 3, "text": {}, "what": 1, "url": {"$from": "x"}},
    {"repository": "\x00", "path": "\x00", "content": {"$artifact": {}}, "text": "\x00", "pattern": "\x00"},
    {
        "repository": "/" * 5000,
        "url": "http://\x00@[::g]:x/\ud800",
        "max_bytes": -1,
        "path": "../" * 500,
        "content": {"$artifact": {"id": "x", "sha256": "y"}},
        "limit": -1,
    },
    {"path": "a", "content": {}, "if_exists": "explode", "version": 10**30, "what": {"deep": [[[[]]]]}},
]

each_skill = pytest.mark.parametrize(("connector", "spec"), SPECS, ids=[spec.name for _, spec in SPECS])
each_connector = pytest.mark.parametrize("connector", CONNECTORS.values(), ids=CONNECTORS.keys())


@pytest.fixture(scope="module")
def github():
    with github_stub() as stub:
        yield UsedConnection("github", "acme", stub.url, "write", {"token": TOKEN})


@pytest.fixture(scope="module")
def site():
    with serving_site() as found:
        found.pages["/"] = answer("<title>A page</title><p>text")
        yield found


@pytest.fixture
def place(db, tmp_path, github, site):
    """A workspace with a document, a connection, a repository with a commit and a page; returns what makes contexts."""
    FakeConnector.fresh()
    workspace = Workspace.objects.create(slug="contract", name="Contract")
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.txt": "text\n"})
    settings = SimpleNamespace(WORKA_REPOSITORY_ROOTS=[str(tmp_path)], WORKA_HOME=str(tmp_path / "home"))

    def artifacts(_):
        raise KeyError("there is no such artifact")

    def context(**changes):
        given = CallContext(
            workspace.pk,
            uuid4(),
            artifacts,
            time.monotonic() + 30,
            settings,
            frozenset({"reads_private"}),
            connection=github,
            egress=site.egress(),
        )
        return dataclasses.replace(given, **changes)

    keep = {"path": "kept.md", "content": "kept\n"}
    CONNECTORS["files"]().call("write", keep, context())
    return SimpleNamespace(context=context, repo=repo, site=site)


def arguments_of(spec, place):
    given = DEFAULTS[spec.name]
    if spec.name == "http.get":
        return {"url": given["url"].format(port=place.site.port)}
    return {"repository": str(place.repo.path), **given} if spec.name.startswith("git.") else dict(given)


@each_connector
def test_a_connector_is_one_class_with_its_own_name_and_skills(connector):
    name = next(name for name, found in CONNECTORS.items() if found is connector)

    assert inspect.getdoc(connector) and not inspect.isabstract(connector)
    assert connector.skills or connector.has_accepted_skills
    assert all(isinstance(spec, SkillSpec) and spec.name == f"{name}.{spec.verb}" for spec in connector.skills)
    assert len({spec.name for spec in connector.skills}) == len(connector.skills)


def test_skills_are_found_by_their_full_name():
    assert {name for name in DEFAULTS if not name.startswith("fake.")} == set(all_skills())
    assert all(name == spec.name for name, spec in all_skills().items())


@each_skill
def test_a_skill_says_what_policy_needs_to_know(connector, spec):
    assert re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", spec.name)
    assert spec.description.endswith(".")
    assert spec.side_effect in {"read_only", "write", "external", "destructive"}
    assert spec.labels <= {"reads_private", "untrusted_output", "sends_outside"}
    assert 0 < spec.timeout_s <= 600
    assert spec.idempotent or spec.side_effect != "read_only"
    named = re.findall(r"\{args\.([a-z_]+)\}", spec.lock_key)
    assert set(named) <= set(spec.input_schema["required"])
    assert "{" not in re.sub(r"\{args\.[a-z_]+\}", "", spec.lock_key)


@each_skill
def test_schemas_are_valid_closed_and_json(connector, spec):
    for schema in (spec.input_schema, spec.output_schema):
        canonical(dict(schema))
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert all(found["additionalProperties"] is False for found in objects_in(schema))


def objects_in(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_in(value)


@each_skill
def test_the_digest_changes_with_anything_people_rely_on(connector, spec):
    changes = [
        {"name": "other.skill"},
        {"description": "Something else."},
        {"input_schema": {"type": "object"}},
        {"output_schema": {"type": "object"}},
        {"side_effect": "destructive"},
        {"labels": spec.labels ^ {"sends_outside"}},
        {"idempotent": not spec.idempotent},
        {"lock_key": "other"},
        {"timeout_s": spec.timeout_s + 1},
    ]

    digests = {digest_of(dataclasses.replace(spec, **change)) for change in changes}

    assert re.fullmatch(r"[0-9a-f]{64}", digest_of(spec))
    assert digest_of(spec) == digest_of(dataclasses.replace(spec))
    assert len(digests | {digest_of(spec)}) == len(dataclasses.fields(SkillSpec)) + 1 == len(changes) + 1


@each_skill
@pytest.mark.sandbox
def test_an_answer_is_canonical_and_of_its_schema(connector, spec, place):
    arguments = arguments_of(spec, place)
    jsonschema.validate(arguments, spec.input_schema)

    outcome = connector().call(spec.verb, arguments, place.context())

    assert isinstance(outcome, Outcome)
    canonical(outcome.output)
    jsonschema.validate(outcome.output, spec.output_schema)
    assert outcome.taint <= {"reads_private", "untrusted_output", "sends_outside"}


@each_skill
@pytest.mark.sandbox
def test_an_idempotent_skill_gives_the_same_invocation_the_same_answer(connector, spec, place):
    if not spec.idempotent:
        return
    context = place.context()
    arguments = arguments_of(spec, place)

    first, second = (connector().call(spec.verb, dict(arguments), context) for _ in range(2))

    assert first == second


@each_skill
@pytest.mark.sandbox
@pytest.mark.parametrize("arguments", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_a_skill_failure_without_effect_and_nothing_else(connector, spec, place, arguments):
    """The gateway validates before it calls; a connector still answers for itself."""
    before = documents()

    failed = failure_of(lambda: connector().call(spec.verb, dict(arguments), place.context()))

    assert failed is None or (failed.effect == "none" and str(failed) and documents() == before)


def failure_of(call):
    """Return the SkillFailed of a call, None if it works; anything else that it raises is the test's failure."""
    try:
        call()
    except SkillFailed as failed:
        return failed
    return None


def documents():
    from gateway.models import DocumentVersion

    return DocumentVersion.objects.count()


@each_connector
def test_a_skill_it_does_not_have_is_a_skill_failure(connector, place):
    for verb in ("", "__class__", "call", "LOG", "log; true"):
        with pytest.raises(SkillFailed) as failed:
            connector().call(verb, {"repository": str(place.repo.path)}, place.context())
        assert failed.value.effect == "none"


@each_skill
@pytest.mark.sandbox
def test_a_passed_deadline_never_raises_anything_else(connector, spec, place):
    late = place.context(deadline=time.monotonic() - 1)

    failed = failure_of(lambda: connector().call(spec.verb, arguments_of(spec, place), late))

    assert failed is None or failed.effect == "none"


@each_skill
@pytest.mark.sandbox
def test_arguments_are_left_as_they_were(connector, spec, place):
    """What was consented to is what is stored; a connector must not work on it."""
    arguments = arguments_of(spec, place)
    before = canonical(arguments)

    connector().call(spec.verb, arguments, place.context())

    assert canonical(arguments) == before


def test_a_failure_carries_its_effect_and_a_way_out():
    failed = SkillFailed("no", effect="maybe", recovery="Look.")

    assert (str(failed), failed.effect, failed.recovery, str(failed.code)) == ("no", "maybe", "Look.", "skill_failed")


@each_connector
def test_a_connector_with_a_service_says_what_its_settings_are_and_fails_without_a_connection(connector, place):
    if connector.service is None:
        return
    jsonschema.Draft202012Validator.check_schema(connector.service.settings_schema)
    assert all(found["additionalProperties"] is False for found in objects_in(connector.service.settings_schema))
    assert connector.service.base_url.startswith("https://")

    for spec in connector.skills:
        with pytest.raises(SkillFailed) as failed:
            connector().call(spec.verb, arguments_of(spec, place), place.context(connection=None))
        assert (failed.value.effect, failed.value.code) == ("none", "unavailable")


def test_the_contract_itself_cannot_be_made():
    with pytest.raises(TypeError):
        Connector()
