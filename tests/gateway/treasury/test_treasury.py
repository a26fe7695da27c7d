"""Secrets, grants and connections: who may, what is written down, and that no value comes out again."""

from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.core import serializers
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from audit.core.refusals import Refused
from audit.keys import KeysMissing, Unreadable, rewraps, ring, rotate
from audit.models import AuditEvent
from audit.principals import Principal, agent
from gateway.models import Connection, Grant, Secret, SecretVersion
from gateway.treasury import connections, secrets
from gateway.treasury.expanding import expand
from gateway.treasury.impact import impact_of
from gateway.treasury.sealing import unseal
from governance.models import ServiceAccount
from tests.gateway.treasury.bank import equip, plug, put
from tests.people import build_house
from tests.wire.github import TOKEN

NEW = "the-new-value-of-it"


def refused(code, action, *args, **kwargs):
    """Check a refusal, and that it quotes no secret and changed nothing."""
    before = AuditEvent.objects.count()
    with pytest.raises(Refused) as found, transaction.atomic():
        action(*args, **kwargs)
    assert found.value.code == code, found.value
    said = f"{found.value} {found.value.recovery} {found.value.faults}"
    assert TOKEN not in said and "ghp_" not in said
    assert AuditEvent.objects.count() == before
    return found.value


def entries(*types):
    return list(AuditEvent.objects.filter(type__in=types).order_by("pk"))


def used(connection, skill="github.get_issue"):
    """Return the tokens that a call would use, the first choice first."""
    return [turn.settings["token"] for turn in expand(connection.pk, skill, connection.workspace_id).turns]


# --- Who may ---------------------------------------------------------------------------------------------------------


def test_only_owners_and_admins_of_the_workspace_may_and_always_with_a_reason(house):
    other = build_house("umbrella")
    secret, connection = equip(house, "")
    [grant] = Grant.objects.all()
    robot = ServiceAccount.objects.create(workspace=house.workspace, name="robot", role="member")
    deeds = [
        lambda who: secrets.put_secret(house.workspace, "another", NEW, **who),
        lambda who: secrets.rotate_secret(secret.pk, NEW, **who),
        lambda who: secrets.revoke_secret(secret.pk, **who),
        lambda who: secrets.give_grant(secret.pk, skill="github.*", **who),
        lambda who: secrets.withdraw_grant(grant.pk, **who),
        lambda who: connections.connect(house.workspace, "github", "b", settings={"token": "{{secret:x}}"}, **who),
        lambda who: connections.disable(connection.pk, **who),
        lambda who: connections.enable(connection.pk, **who),
        lambda who: connections.disconnect(connection.pk, **who),
    ]
    strangers = [
        *(house.by(name) for name in ("ada", "bob", "carol", "eve")),
        other.by("dora"),
        Principal("service", "robot", id=str(robot.pk)),
        Principal("user", "dora"),
        agent("ernest", persons=frozenset({str(house.dora.pk)})),
    ]

    for deed in deeds:
        for by in strangers:
            refused("forbidden", deed, {"by": by, "because": "x"})
        refused("invalid", deed, {"by": house.by("dora"), "because": " "})
    house.dora.is_active = False
    house.dora.save()
    refused("forbidden", deeds[0], {"by": house.by("dora"), "because": "x"})


# --- Secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_written_down_without_its_value_and_that_something_may_use_it_is_another_decision(house):
    secret = put(house)
    connection = plug(house)
    assert refused("no_grant", used, connection)

    grant = secrets.give_grant(secret.pk, connection_id=connection.pk, by=house.by("olga"), because="the bot needs it")

    assert used(connection) == [TOKEN]
    assert secrets.give_grant(secret.pk, connection_id=connection.pk, by=house.by("olga"), because="again") == grant
    told = entries("secret.put", "secret_version.store", "connection.connect", "grant.give")
    assert [(each.type, each.actor, each.because) for each in told] == [
        ("secret.put", "user:dora", "we work with GitHub"),
        ("secret_version.store", "user:dora", "we work with GitHub"),
        ("connection.connect", "user:dora", "we work with GitHub"),
        ("grant.give", "user:olga", "the bot needs it"),
    ]
    assert told[2].facts["secrets"] == ["github-token"]
    assert {each.workspace for each in told} == {house.workspace.pk}


def test_no_row_text_or_error_gives_a_value_back(house):
    secret, connection = equip(house, "")
    expansion = expand(connection.pk, "github.get_issue", house.workspace.pk)
    version = secret.versions.get()

    rows = [secret, version, connection, *Grant.objects.all(), *AuditEvent.objects.all()]
    said = [serializers.serialize("json", rows), repr(rows), str(rows), repr(expansion), repr(expansion.turns)]
    said += [bytes(version.ciphertext).decode("latin-1"), bytes(version.ciphertext).hex()]

    assert not [text for text in said if TOKEN in text or TOKEN.encode().hex() in text]


BAD_VALUES = ["", "short", "       x       ", "with\x00nul in it", "lone \ud800 surrogate", "x" * 40_000]


@pytest.mark.parametrize("value", BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_a_value_that_could_not_be_masked_or_sent_is_refused(house, value):
    refused("invalid", secrets.put_secret, house.workspace, "name", value, by=house.by("dora"), because="x")


def test_a_bad_or_taken_name_and_a_value_in_what_is_written_down_are_refused(house):
    put(house)
    more = {"by": house.by("dora"), "because": "x"}
    for name in ("github-token", "", "Upper", "with space", "x" * 65, "{{secret:x}}", "1st", "ä"):
        refused("invalid", secrets.put_secret, house.workspace, name, NEW, **more)
    refused("invalid", secrets.put_secret, house.workspace, "a", TOKEN, by=house.by("dora"), because=f"it is {TOKEN}")
    refused("invalid", secrets.put_secret, house.workspace, "a", TOKEN, description=TOKEN, **more)
    refused("invalid", secrets.put_secret, house.workspace, "some-long-name", "some-long-name", **more)

    assert Secret.objects.count() == SecretVersion.objects.count() == 1


def test_while_a_rotation_overlaps_the_older_value_still_works_and_is_erased_afterwards(house):
    secret, connection = equip(house, "")

    with time_machine.travel(now(), tick=False) as clock:
        impact = secrets.rotate_secret(
            secret.pk, NEW, by=house.by("olga"), because="yearly", overlap=timedelta(hours=1)
        )
        during = used(connection)
        masked = expand(connection.pk, "github.get_issue", house.workspace.pk).secrets
        clock.shift(3601)
        after = used(connection)
        assert (secrets.retire_overlaps(), secrets.retire_overlaps()) == (1, 0)

    assert (during, after) == ([NEW, TOKEN], [NEW])
    assert {NEW, TOKEN} <= masked
    assert impact.connections == ("github as acme-bot",) and "github.create_issue" in impact.skills
    old, new = secret.versions.order_by("number")
    assert (old.state, old.ciphertext, new.state) == ("retired", None, "active")
    [entry] = entries("secret.rotate")
    assert entry.facts["depends"]["connections"] == ["github as acme-bot"] and entry.facts["version"] == 2
    assert [each.actor for each in entries("secret_version.retire")] == ["system:worka"]

    secrets.rotate_secret(secret.pk, "third-value", by=house.by("olga"), because="at once", overlap=timedelta(0))
    assert used(connection) == ["third-value"]
    refused(
        "invalid",
        secrets.rotate_secret,
        secret.pk,
        "fourth-value",
        by=house.by("olga"),
        because="x",
        overlap=timedelta(days=31),
    )


def test_only_two_values_are_ever_in_use(house):
    secret, connection = equip(house, "")
    for number in range(3):
        secrets.rotate_secret(secret.pk, f"value-number-{number}", by=house.by("olga"), because="often")

    assert used(connection) == ["value-number-2", "value-number-1"]
    assert SecretVersion.objects.exclude(ciphertext=None).count() == 2


def test_a_revoked_secret_is_erased_for_good_and_says_what_stops(house):
    secret, connection = equip(house, "")
    secrets.rotate_secret(secret.pk, NEW, by=house.by("olga"), because="yearly")

    impact = secrets.revoke_secret(secret.pk, by=house.by("olga"), because="it leaked")

    assert impact.connections == ("github as acme-bot",)
    assert "Stops: github as acme-bot with github.comment_on_issue" in impact.sentence("Stops")
    assert set(SecretVersion.objects.values_list("state", "ciphertext")) == {("revoked", None)}
    refused("revoked", used, connection)
    refused("revoked", secrets.rotate_secret, secret.pk, NEW, by=house.by("olga"), because="x")
    secrets.revoke_secret(secret.pk, by=house.by("dora"), because="again")
    [entry] = entries("secret.revoke")
    assert (entry.actor, entry.facts["stops"]["connections"]) == ("user:olga", ["github as acme-bot"])
    # Put anew, it is another secret, and nothing may use that.
    put(house)
    refused("no_grant", used, connection)


def test_the_data_base_keeps_no_value_of_a_version_that_is_over(house):
    version = put(house).versions.get()

    with pytest.raises(IntegrityError, match="what_is_over_is_erased"), transaction.atomic():
        SecretVersion.objects.filter(pk=version.pk).update(state="revoked")


# --- Grants and expansion ----------------------------------------------------------------------------------------------


def test_a_grant_is_for_one_connection_or_for_the_skills_of_one_connector(house):
    secret, connection = put(house), plug(house)
    more = {"by": house.by("dora"), "because": "x"}
    for skill in ("*", "*.*", "git*.x", "github", "github.fly", "nothing.*", "github.[a-z]*", ""):
        refused("invalid", secrets.give_grant, secret.pk, skill=skill, **more)
    refused("invalid", secrets.give_grant, secret.pk, skill="github.*", connection_id=connection.pk, **more)
    refused("not_found", secrets.give_grant, secret.pk, connection_id=uuid4(), **more)
    foreign = plug(build_house("umbrella"))
    refused("not_found", secrets.give_grant, secret.pk, connection_id=foreign.pk, **more)

    grant = secrets.give_grant(secret.pk, skill="github.get_*", **more)

    assert used(connection, "github.get_issue") == [TOKEN]
    assert impact_of(secret).skills == ("github.get_file", "github.get_issue", "github.get_pull_request")
    assert "create_issue" in str(refused("no_grant", used, connection, "github.create_issue"))
    secrets.withdraw_grant(grant.pk, **more)
    refused("no_grant", used, connection, "github.get_issue")
    refused("transition_refused", secrets.withdraw_grant, grant.pk, **more)


def test_nothing_of_another_workspace_and_nothing_that_is_not_there_is_expanded(house):
    other = build_house("umbrella")
    put(other)
    connection = plug(house)

    refused("unknown_secret", used, connection)
    refused("no_connection", expand, connection.pk, "github.get_issue", other.workspace.pk)
    refused("no_connection", expand, uuid4(), "github.get_issue", house.workspace.pk)


def test_what_a_secret_contains_is_never_read_as_the_name_of_another(house):
    put(house, "inner", "the inner value")
    secret, connection = put(house, value="{{secret:inner}}"), plug(house)
    secrets.give_grant(secret.pk, connection_id=connection.pk, by=house.by("olga"), because="x")

    assert used(connection) == ["{{secret:inner}}"]


def test_only_expanding_opens_what_is_sealed():
    import ast
    from pathlib import Path

    root = Path(__file__).parents[3]
    asking = {
        str(path.relative_to(root))
        for app in ("audit", "governance", "runtime", "gateway", "worka_site")
        for path in (root / app).rglob("*.py")
        if "unseal" in (text := path.read_text(encoding="utf-8")) or "ciphertext" in text
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.ImportFrom) and any(name.name == "unseal" for name in node.names))
        or (isinstance(node, ast.Attribute) and node.attr in ("unseal", "ciphertext") and "sealing" not in path.name)
    }

    assert asking == {"gateway/treasury/expanding.py"}


# --- Connections -------------------------------------------------------------------------------------------------------

IN_CLEAR = [
    ({"token": "ghp_" + "a" * 36}, "/settings/token"),
    ({"token": "some plain words"}, "/settings/token"),
    ({"token": "{{secret:Upper}}"}, "/settings/token"),
    ({"token": "{{ secret }}"}, "/settings/token"),
    ({"token": "{{secret:a}} ghp_" + "a" * 36}, "/settings/token"),
    ({"token": "{{secret:a}}", "{{secret:a}}": "x"}, "/settings"),
    ({"token": "{{secret:a}}", "other": 1}, "/settings"),
    ({}, "/settings"),
    ({"token": 7}, "/settings/token"),
    ({"token": float("nan")}, "/settings"),
]


@pytest.mark.parametrize(("settings", "at"), IN_CLEAR, ids=range(len(IN_CLEAR)))
def test_settings_hold_no_secret_in_clear_and_fit_the_service(house, settings, at):
    refusal = refused("invalid", plug, house, settings=settings)

    assert refusal.faults[0].path.startswith(at), refusal.faults
    assert not Connection.objects.exists()


def test_an_address_is_https_or_of_this_machine(house):
    bad = ["http://github.com", "ftp://github.com", "https://", "https://a:b@github.com", "https://github.com/?x=1", "https://a b",
           "https://github.com#x", "file:///etc/passwd", "http://127.0.0.1.evil.com", "https://{{secret:a}}.com", "https://h:99999"]  # fmt: skip
    for url in bad:
        assert refused("invalid", plug, house, url).faults[0].path == "/base_url", url
    for account in ("x" * 65, "<b>", "a/b"):
        assert refused("invalid", plug, house, account=account).faults[0].path == "/account"
    assert refused("invalid", plug, house, access="all").faults[0].path == "/access"
    refused(
        "invalid", connections.connect, house.workspace, "gopher", "a", by=house.by("dora"), because="x", settings={}
    )

    assert plug(house, "https://git.acme.example/api/v3/").base_url == "https://git.acme.example/api/v3"
    assert plug(house, "http://127.0.0.1:8080", account="b").access == "write"
    assert refused("invalid", plug, house, account="b")


def test_a_connection_is_stopped_started_and_ended_with_its_grants(house):
    _, connection = equip(house, "")
    more = {"by": house.by("olga"), "because": "odd calls"}

    connections.disable(connection.pk, **more)
    refused("no_connection", used, connection)
    connection.refresh_from_db()
    assert (connection.state, connection.disabled_by, connection.disabled_because) == (
        "disabled",
        "user:olga",
        "odd calls",
    )
    connections.enable(connection.pk, **more)
    assert used(connection) == [TOKEN]
    connections.disconnect(connection.pk, **more)
    refused("transition_refused", connections.enable, connection.pk, **more)
    refused("no_connection", used, connection)
    assert set(Grant.objects.values_list("state", flat=True)) == {"withdrawn"}
    assert [each.type for each in entries("connection.disable", "connection.enable", "connection.disconnect", "grant.withdraw")] == [
        "connection.disable", "connection.enable", "connection.disconnect", "grant.withdraw",
    ]  # fmt: skip
    assert plug(house).account == "acme-bot", "the name is free again"


# --- Keys --------------------------------------------------------------------------------------------------------------


def test_a_rotation_of_keys_reaches_every_version_in_batches_and_can_be_resumed(house, settings, tmp_path):
    from audit.keys import drop_old_encryption_keys, generate_key_file

    settings.WORKA_KEYS_FILE = tmp_path / "keys.json"
    generate_key_file(settings.WORKA_KEYS_FILE)
    secret, connection = equip(house, "")
    secrets.rotate_secret(secret.pk, NEW, by=house.by("olga"), because="yearly")
    put(house, "other", "another value")
    put(house, "gone", "a revoked value")
    secrets.revoke_secret(Secret.objects.get(name="gone").pk, by=house.by("olga"), because="x")

    kid = rotate("encryption")

    assert [rewraps["secrets"](2), rewraps["secrets"](2), rewraps["secrets"](2)] == [2, 1, 0]
    drop_old_encryption_keys()
    assert ring().kids("encryption") == [kid]
    assert used(connection) == [NEW, TOKEN]


def test_a_ciphertext_opens_for_its_own_row_only(house):
    mine, other = put(house).versions.get(), put(house, "other", "another value").versions.get()
    other.ciphertext = mine.ciphertext

    with pytest.raises(Unreadable):
        unseal(other)
    assert issubclass(KeysMissing, Exception)
