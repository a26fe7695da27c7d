"""A data base that is older than the heads outside: work stands still until a person accepts it."""

import pytest

from audit import restore
from audit.core.refusals import Refused
from audit.models import AuditEvent, Seal
from audit.restore import accept_restore, freeze_if_restored
from audit.sealing import SealingStopped, outside_ahead, outside_difference, seal, seal_all, verify
from audit.tasks import seal_ledger
from audit.verification import Wrong
from tests.audit.lamps import ADA


@pytest.fixture
def work(monkeypatch):
    """What a layer above would freeze and thaw."""
    monkeypatch.setattr(restore, "_freezers", {})
    monkeypatch.setattr(restore, "_thawers", {})
    seen = []
    restore.register(
        "lamps",
        freeze=lambda why: seen.append(("freeze", why)),
        thaw=lambda by, because: seen.append(("thaw", str(by), because)),
    )
    return seen


@pytest.fixture
def restored(log, heads, tamper):
    """Three seals were made; the back-up that was put in place has only the first."""
    for size in (4, 3, 5):
        log(size)
        seal()
    tamper("DELETE FROM audit_auditevent WHERE seal > 1")
    tamper("DELETE FROM audit_seal WHERE number > 1")


def test_a_log_that_agrees_with_the_heads_outside_freezes_nothing(log, heads, work):
    assert not outside_ahead()
    log(2)
    seal()

    assert not outside_ahead()
    assert freeze_if_restored() == ""
    assert work == []


def test_a_data_base_ahead_of_the_heads_outside_was_not_cut(log, heads, monkeypatch):
    log(1)
    seal()
    monkeypatch.setattr("audit.sealing.publish_heads", lambda: 0)
    log(1)
    seal()

    assert not outside_ahead()


def test_a_restored_data_base_freezes_all_work_at_start(restored, work):
    assert outside_ahead()

    why = freeze_if_restored()

    assert "12 entries in 3 seals" in why
    assert work == [("freeze", f"the data base was restored or cut: {why}")]


def test_an_emptied_data_base_freezes_all_work(restored, work, tamper):
    tamper("DELETE FROM audit_auditevent")
    tamper("DELETE FROM audit_seal")

    assert freeze_if_restored()
    assert [what for what, _ in work] == ["freeze"]


def test_another_log_in_its_place_is_noticed(restored, work, heads, log):
    """Somebody goes on sealing on the old copy: by number the data base is no longer behind."""
    kept = heads.read_bytes()
    heads.unlink()
    for _ in range(4):
        log(4)
        seal()
    heads.write_bytes(kept)

    assert "seal 3 is another one outside" in freeze_if_restored()
    assert [what for what, _ in work] == ["freeze"]


def test_a_head_that_nobody_we_know_signed_is_noticed(log, heads, settings, tmp_path):
    from audit.keys import generate_key_file

    log(1)
    seal()
    settings.WORKA_KEYS_FILE = tmp_path / "other.json"
    generate_key_file(settings.WORKA_KEYS_FILE)

    assert "not signed by a key that is known" in outside_difference()


def test_until_it_is_accepted_nothing_is_sealed_and_nothing_lost(restored, log, heads):
    before = heads.read_bytes()
    log(2)

    with pytest.raises(SealingStopped) as stopped:
        seal()

    assert stopped.value.code == "frozen"
    assert "accept_restore" in stopped.value.recovery
    assert AuditEvent.objects.unsealed().count() == 2
    assert heads.read_bytes() == before


def test_accepting_is_written_down_inside_and_outside_and_lets_work_go_on(restored, work, log, heads):
    before = heads.read_bytes()
    freeze_if_restored()
    work.clear()

    entry = accept_restore(by=ADA, because="the disk burned; this is last night's back-up")

    entry.refresh_from_db()
    assert (entry.type, entry.actor, entry.position, entry.seal) == ("ledger.accept_restore", "user:ada", 5, 2)
    assert entry.because == "the disk burned; this is last night's back-up"
    assert "12 entries in 3 seals" in entry.facts["difference"]
    assert (entry.facts["seal"], entry.facts["tree_size"]) == (1, 4)
    assert work == [("thaw", "user:ada", "the disk burned; this is last night's back-up")]
    assert heads.read_bytes().startswith(before)
    assert not outside_ahead()
    log(3)
    assert seal() == 3
    result = verify()
    assert result.findings == []
    assert result.is_whole
    assert (result.tree_size, result.heads) == (
        8,
        4,
    )  # 1, the accepted one, 2 and 3; those that were lost no longer count


def test_an_accepted_restore_excuses_only_what_was_lost_then(restored, work, log, tamper):
    accept_restore(by=ADA, because="back-up")
    log(3)
    seal()
    tamper("DELETE FROM audit_auditevent WHERE seal = 3")
    tamper("DELETE FROM audit_seal WHERE number = 3")

    assert outside_ahead()
    assert [(finding.kind, finding.seal) for finding in verify().findings] == [(Wrong.MISSING, 3)]


def test_an_empty_data_base_can_be_accepted_too(restored, work, tamper, log):
    tamper("DELETE FROM audit_auditevent")
    tamper("DELETE FROM audit_seal")

    accept_restore(by=ADA, because="we begin anew")

    log(1)
    seal_all()
    assert verify().is_whole
    assert Seal.objects.count() == 2


def test_a_restore_that_nobody_signed_excuses_nothing(restored, heads):
    import json

    forged = json.loads(heads.read_text().splitlines()[0]) | {"restore": "user:eve accepted: trust me"}
    with heads.open("a") as file:
        file.write(json.dumps(forged) + "\n")

    assert outside_ahead()
    kinds = [finding.kind for finding in verify().findings]
    assert kinds == [Wrong.MISSING, Wrong.MISSING, Wrong.SIGNATURE_INVALID]


def test_what_was_not_restored_cannot_be_accepted(log, heads, work):
    log(1)
    seal()

    with pytest.raises(Refused) as refused:
        accept_restore(by=ADA, because="just in case")

    assert refused.value.code == "transition_refused"
    assert work == []
    assert AuditEvent.objects.count() == 1


def test_accepting_needs_a_reason(restored, work):
    with pytest.raises(Refused) as refused:
        accept_restore(by=ADA, because=" ")

    assert refused.value.code == "invalid"
    assert work == []
    assert outside_ahead()


def test_if_work_cannot_be_thawed_nothing_is_accepted(restored, work, heads):
    def fail(by, because):
        raise ZeroDivisionError

    restore.register("others", freeze=lambda why: None, thaw=fail)
    before = heads.read_bytes()

    with pytest.raises(ZeroDivisionError):
        accept_restore(by=ADA, because="back-up")

    assert heads.read_bytes() == before
    assert outside_ahead()
    assert not AuditEvent.objects.filter(type="ledger.accept_restore").exists()


def test_the_tick_says_once_that_sealing_is_stopped_and_goes_on_after_it_is_accepted(restored, work, log, caplog):
    log(2)

    for _ in range(5):
        seal_ledger()

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "accept_restore" in caplog.text
    assert AuditEvent.objects.unsealed().count() == 2
    accept_restore(by=ADA, because="back-up")
    log(1)
    seal_ledger()
    assert not AuditEvent.objects.unsealed().exists()
