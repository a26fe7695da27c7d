import json
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from audit import restore
from audit.keys import generate_key_file, kid_of, rewraps, ring
from audit.models import AuditEvent
from audit.sealing import seal


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def ada(committed_db):
    return get_user_model().objects.create_user("ada")


# --- verify_ledger ---------------------------------------------------------------------------------------------------


def test_a_whole_ledger_is_said_to_be_whole(log, heads):
    log(5)

    assert run("verify_ledger").startswith("Whole and in order: 5 entries in 1 seals; 1 heads outside agree. (")
    assert json.loads(run("verify_ledger", "--json"))["is_whole"] is True


def test_a_ledger_that_is_not_whole_fails_and_says_where(log, heads, tamper):
    log(5)
    seal()
    tamper("DELETE FROM audit_auditevent WHERE position = 3")
    out = StringIO()

    with pytest.raises(CommandError, match="not whole"):
        call_command("verify_ledger", stdout=out)

    assert "missing: entry 3 is gone" in out.getvalue()


def test_one_entry_is_proven_and_its_proof_is_checked_without_the_entry(log, heads, tmp_path, tamper):
    events = log(5)
    seal()

    said = run("verify_ledger", "--entry", "3", "--proof", str(tmp_path / "proof.json"))

    assert "3: Worka lighted lamp 2: it is dark" in said
    assert "Proven: entry 3 is in the log of 5 entries" in said
    assert "Proven: entry 3" in run("verify_ledger", "--event", str(events[2].pk))
    assert json.loads(run("verify_ledger", "--entry", "3", "--json")) == json.loads(
        (tmp_path / "proof.json").read_text()
    )
    tamper("DELETE FROM audit_auditevent")
    tamper("DELETE FROM audit_seal")
    assert "Proven: entry 3" in run("verify_ledger", "--proof", str(tmp_path / "proof.json"))


def test_a_proof_that_was_changed_is_not_proven(log, heads, tmp_path):
    log(2)
    run("verify_ledger", "--event", str(AuditEvent.objects.first().pk), "--proof", str(tmp_path / "proof.json"))
    text = (tmp_path / "proof.json").read_text()

    (tmp_path / "proof.json").write_text(text.replace("it is dark", "it is late"))
    with pytest.raises(CommandError, match="not proven: the entry and its path"):
        run("verify_ledger", "--proof", str(tmp_path / "proof.json"))
    (tmp_path / "proof.json").write_text(text.replace("{", "[", 1))
    with pytest.raises(CommandError, match="not JSON"):
        run("verify_ledger", "--proof", str(tmp_path / "proof.json"))
    with pytest.raises(CommandError, match="cannot be read"):
        run("verify_ledger", "--proof", str(tmp_path / "nothing.json"))


def test_an_entry_that_does_not_exist_is_not_proven(log, heads):
    with pytest.raises(CommandError, match="no such entry"):
        run("verify_ledger", "--entry", "1")


def test_a_changed_entry_is_not_proven(log, heads, tamper):
    log(2)
    seal()
    tamper(
        "UPDATE audit_auditevent SET body = replace(convert_from(body, 'UTF8'), 'dark', 'lark')::bytea WHERE position = 2"
    )

    with pytest.raises(CommandError, match="not proven"):
        run("verify_ledger", "--entry", "2")


# --- accept_restore --------------------------------------------------------------------------------------------------


@pytest.fixture
def cut(log, heads, tamper, monkeypatch):
    monkeypatch.setattr(restore, "_thawers", {})
    for _ in range(2):
        log(2)
        seal()
    tamper("DELETE FROM audit_auditevent WHERE seal = 2")
    tamper("DELETE FROM audit_seal WHERE number = 2")


def test_a_person_accepts_a_restore_with_a_reason(cut, ada):
    said = run("accept_restore", "--by", "ada", "--because", "the disk burned")

    assert "The log goes on after entry 2." in said
    event = AuditEvent.objects.get(type="ledger.accept_restore")
    assert (event.actor, event.actor_id, event.via, event.because) == (
        "user:ada",
        str(ada.pk),
        "command",
        "the disk burned",
    )
    assert "Whole" in run("verify_ledger")


def test_only_somebody_who_exists_and_may_act_accepts_a_restore(cut, ada):
    with pytest.raises(CommandError, match="nobody called 'eve'"):
        run("accept_restore", "--by", "eve", "--because", "x")
    ada.is_active = False
    ada.save()
    with pytest.raises(CommandError, match="may no longer act"):
        run("accept_restore", "--by", "ada", "--because", "x")
    with pytest.raises(CommandError, match="--because"):
        run("accept_restore", "--by", "ada")
    assert not AuditEvent.objects.filter(type="ledger.accept_restore").exists()


def test_nothing_to_accept_is_said(log, heads, ada):
    with pytest.raises(CommandError, match="not ahead"):
        run("accept_restore", "--by", "ada", "--because", "x")


# --- rotate_keys -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(settings, tmp_path, committed_db, monkeypatch):
    """Three rows that the ring encrypts, and the way to wrap them again."""
    settings.WORKA_KEYS_FILE = tmp_path / "keys.json"
    generate_key_file(settings.WORKA_KEYS_FILE)
    blobs = {n: ring().encrypt(b"%d" % n, b"row:%d" % n) for n in range(3)}

    def rewrap(batch):
        stale = [n for n, blob in blobs.items() if kid_of(blob) != ring().active_kid("encryption")][: min(batch, 2)]
        for n in stale:
            blobs[n] = ring().encrypt(ring().decrypt(blobs[n], b"row:%d" % n), b"row:%d" % n)
        return len(stale)

    for name in list(rewraps):
        monkeypatch.delitem(rewraps, name)
    monkeypatch.setitem(rewraps, "lamps", rewrap)
    return blobs


def test_rotation_makes_new_keys_of_every_kind_and_wraps_every_row(rows, ada):
    before = {kind: ring().active_kid(kind) for kind in ("encryption", "seal", "token")}

    said = run("rotate_keys", "--by", "ada", "--because", "yearly")

    after = {kind: ring().active_kid(kind) for kind in before}
    assert not set(before.values()) & set(after.values())
    assert {kid_of(blob) for blob in rows.values()} == {after["encryption"]}
    assert [ring().decrypt(blob, b"row:%d" % n) for n, blob in rows.items()] == [b"0", b"1", b"2"]
    assert "lamps: 2 wrapped" in said
    assert "lamps: 3 wrapped" in said
    rotated = AuditEvent.objects.filter(type="key.rotate").order_by("id")
    assert [(event.subject, event.because) for event in rotated] == [
        (f"audit.key:{kid}", "yearly") for kid in after.values()
    ]
    assert [event.facts for event in rotated] == [{"kind": kind} for kind in after]


def test_one_kind_can_be_rotated_alone(rows, ada):
    before = {kind: ring().active_kid(kind) for kind in ("encryption", "seal", "token")}

    run("rotate_keys", "--by", "ada", "--because", "it leaked", "--kind", "token")

    assert ring().active_kid("token") != before["token"]
    assert ring().active_kid("encryption") == before["encryption"]
    assert ring().active_kid("seal") == before["seal"]


def test_an_interrupted_rotation_is_finished_without_another_key(rows, ada, monkeypatch):
    stopped = rewraps["lamps"]
    monkeypatch.setitem(rewraps, "lamps", lambda batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("rotate_keys", "--by", "ada", "--because", "yearly", "--kind", "encryption")
    kids = ring().kids("encryption")
    monkeypatch.setitem(rewraps, "lamps", stopped)

    run("rotate_keys", "--by", "ada", "--because", "yearly", "--only-rewrap")

    assert ring().kids("encryption") == kids
    assert {kid_of(blob) for blob in rows.values()} == {kids[0]}
    assert "nothing to wrap" in run("rotate_keys", "--by", "ada", "--because", "again", "--only-rewrap")


def test_old_keys_are_forgotten_only_when_asked_and_after_wrapping(rows, ada):
    run("rotate_keys", "--by", "ada", "--because", "yearly", "--kind", "encryption")
    assert len(ring().kids("encryption")) == 2

    run("rotate_keys", "--by", "ada", "--because", "it leaked", "--kind", "encryption", "--drop-old")

    assert len(ring().kids("encryption")) == 1
    assert AuditEvent.objects.filter(type="key.drop").count() == 2
    assert [ring().decrypt(blob, b"row:%d" % n) for n, blob in rows.items()] == [b"0", b"1", b"2"]


def test_keys_from_the_environment_are_rotated_where_they_are_set(rows, ada, settings):
    settings.WORKA_KEYS = settings.WORKA_KEYS_FILE.read_text()

    with pytest.raises(CommandError, match="environment"):
        run("rotate_keys", "--by", "ada", "--because", "yearly")

    assert not AuditEvent.objects.exists()


def test_rotation_reaches_the_data_keys_of_runs():
    assert "data keys" in rewraps


def test_old_keys_are_kept_while_something_still_needs_them(rows, ada, monkeypatch):
    monkeypatch.setitem(rewraps, "lamps", lambda batch: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run("rotate_keys", "--by", "ada", "--because", "it leaked", "--kind", "encryption", "--drop-old")

    assert len(ring().kids("encryption")) == 2
