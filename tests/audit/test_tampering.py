"""Whoever owns the server can switch the triggers off. What they then do is told apart."""

import json

import pytest

from audit.ledger import record
from audit.models import AuditEvent, Seal
from audit.principals import Principal
from audit.sealing import seal, seal_all, verify
from audit.verification import FINDINGS_KEPT, Wrong


@pytest.fixture
def history(log, heads):
    """Three seals: positions 1–4, 5–7, 8–12."""
    for size in (4, 3, 5):
        log(size)
        seal()


def found():
    return [(finding.kind.value, finding.position, finding.seal) for finding in verify().findings]


def test_an_untouched_log_is_whole(history):
    result = verify()

    assert result.is_whole
    assert (result.entries, result.seals, result.heads, result.tree_size) == (12, 3, 3, 12)
    assert result.root == bytes(Seal.objects.get(number=3).root)
    assert result.sentence == "Whole and in order: 12 entries in 3 seals; 3 heads outside agree."


def test_a_deleted_entry_is_missing(history, tamper):
    assert tamper("DELETE FROM audit_auditevent WHERE position = 6") == 1

    assert found() == [("missing", 6, 2)]
    result = verify()
    assert not result.is_whole
    assert result.findings[0].message == "entry 6 is gone"
    assert result.sentence == "Not whole: 1 missing."


def test_changed_bytes_are_a_hash_mismatch(history, tamper):
    tamper(
        "UPDATE audit_auditevent SET body = replace(convert_from(body, 'UTF8'), 'dark', 'lark')::bytea WHERE position = 6"
    )

    assert found() == [("hash_mismatch", 6, None)]


@pytest.mark.parametrize(
    "change",
    [
        "type = 'lamp.smash'", "subject = 'lamps.lamp:9'", "actor = 'user:eve'", "actor_id = '9'", "via = 'x'",
        "on_behalf_of = 'user:eve'", "because = 'no reason'", "facts = '{\"n\": true}'", "at = at + interval '1 second'",
        "workspace = gen_random_uuid()", "run = gen_random_uuid()", "correlation_id = 'x'",
    ],
)  # fmt: skip
def test_a_column_that_no_longer_repeats_the_bytes_is_a_hash_mismatch(history, tamper, change):
    tamper(f"UPDATE audit_auditevent SET {change} WHERE position = 6")

    assert found() == [("hash_mismatch", 6, 2)]
    assert f"the column {change.split(' ')[0]} of entry 6" in verify().findings[0].message


def test_bytes_that_are_no_json_any_more_do_not_stop_the_check(history, tamper):
    tamper("UPDATE audit_auditevent SET body = '\\xff' WHERE position IN (2, 6)")

    assert found() == [("hash_mismatch", 2, None), ("hash_mismatch", 6, None)]


@pytest.mark.parametrize(("one", "other"), [(2, 3), (2, 11)])
def test_two_entries_that_changed_places_are_out_of_order(history, tamper, one, other):
    tamper("UPDATE audit_auditevent SET position = 1000 WHERE position = %s", one)
    tamper("UPDATE audit_auditevent SET position = %s WHERE position = %s", one, other)
    tamper("UPDATE audit_auditevent SET position = %s WHERE position = 1000", other)

    result = verify()

    assert [(finding.kind, finding.position) for finding in result.findings] == [
        (Wrong.OUT_OF_ORDER, one), (Wrong.OUT_OF_ORDER, other),
    ]  # fmt: skip
    assert result.findings[0].message == f"entry {one} was sealed at position {other}"


def test_an_entry_that_claims_another_seal_is_a_hash_mismatch(history, tamper):
    tamper("UPDATE audit_auditevent SET seal = 3 WHERE position = 6")

    assert found() == [("hash_mismatch", 6, 2)]


def test_an_entry_that_was_unsealed_is_missing_and_turns_up_out_of_order(history, tamper):
    tamper("UPDATE audit_auditevent SET position = NULL, seal = NULL WHERE position = 6")

    assert found() == [("missing", 6, 2)]
    assert AuditEvent.objects.get(position=13).seal == 4


def test_a_forged_entry_beyond_the_last_seal_is_noticed(history, tamper):
    tamper("UPDATE audit_auditevent SET position = 1000, seal = 9 WHERE position = 12")

    assert found() == [("missing", 12, 3), ("missing", 1000, 9)]


def test_a_forged_entry_where_the_next_would_stand_stops_the_sealer_and_is_noticed(history, tamper, log):
    tamper(
        "INSERT INTO audit_auditevent (position, seal, type, subject, actor, actor_id, via, on_behalf_of, because, facts, at, "
        "correlation_id, body) VALUES (13, 4, 'x', 'x', 'x', '', '', '', '', '{}', now(), '', '')"
    )
    log(1)

    result = verify()

    assert not result.is_whole
    assert "a position that no seal gave it" in result.not_sealed_because
    assert [(finding.kind, finding.position) for finding in result.findings] == [(Wrong.MISSING, 13)]


@pytest.mark.parametrize(
    "change", ["sealed_at = sealed_at + interval '1 second'", "signature = '\\x00'", "kid = '0000000000000000'"]
)
def test_a_changed_seal_is_no_longer_signed(history, tamper, change):
    tamper(f"UPDATE audit_seal SET {change} WHERE number = 2")

    assert found() == [("signature_invalid", None, 2)]


def test_a_rewritten_past_needs_the_key(history, tamper):
    """Everything in the data base is made to fit; only the signature, and the head outside, do not."""
    from audit.core.merkle import Edge
    from audit.core.proof import entry_digest, entry_leaf

    tamper(
        "UPDATE audit_auditevent SET because = 'forged', body = replace(convert_from(body, 'UTF8'), 'it is dark', 'forged')::bytea WHERE position = 12"
    )
    last, before = Seal.objects.get(number=3), Seal.objects.get(number=2)
    digests = [
        entry_digest(event.pk, bytes(event.body)) for event in AuditEvent.objects.filter(seal=3).order_by("position")
    ]
    edge = before.tree_edge.extended(entry_leaf(position, digest) for position, digest in enumerate(digests, start=8))
    tamper(
        "UPDATE audit_seal SET digests = %s, root = %s, edge = %s WHERE number = 3",
        b"".join(digests),
        edge.root(),
        edge.to_bytes(),
    )

    assert isinstance(edge, Edge)
    assert last.number == 3
    assert found() == [("signature_invalid", None, 3), ("hash_mismatch", None, 3)]
    assert verify().not_sealed_because == ""


def test_changed_digests_blame_their_seal_and_not_those_after(history, tamper):
    tamper("UPDATE audit_seal SET digests = set_byte(digests, 5, get_byte(digests, 5) # 1) WHERE number = 2")

    assert found() == [("hash_mismatch", None, 2), ("hash_mismatch", 5, None)]


@pytest.mark.parametrize(
    "change",
    ["digests = substring(digests FROM 1 FOR 40)", "edge = '\\x00'", "edge = set_byte(edge, 0, get_byte(edge, 0) # 1)"],
)
def test_a_damaged_seal_does_not_stop_the_check(history, tamper, change):
    tamper(f"UPDATE audit_seal SET {change} WHERE number = 2")

    result = verify()

    assert not result.is_whole
    assert ("hash_mismatch", 2) in [(finding.kind.value, finding.seal) for finding in result.findings]
    assert not [finding for finding in result.findings if finding.seal == 3]


def test_numbers_of_another_world_do_not_send_the_check_counting_for_years(history, tamper):
    tamper("UPDATE audit_seal SET last_position = 9000000000000000000 WHERE number = 3")
    tamper("UPDATE audit_seal SET first_position = 8000000000000000000 WHERE number = 3")

    assert not verify().is_whole


def test_a_seal_that_is_gone_is_missing_and_the_next_ones_still_prove_its_entries(history, tamper):
    tamper("DELETE FROM audit_seal WHERE number = 2")

    assert found() == [("missing", None, 2), ("missing", None, 2)]
    assert [finding.line for finding in verify().findings] == [None, 2]


def test_a_cut_off_tail_is_missing_because_the_heads_outside_know_it(history, tamper, log):
    tamper("DELETE FROM audit_auditevent WHERE seal = 3")
    tamper("DELETE FROM audit_seal WHERE number = 3")
    log(2)

    result = verify()

    assert [(finding.kind, finding.seal, finding.line) for finding in result.findings] == [(Wrong.MISSING, 3, 3)]
    assert "the data base ends before" in result.not_sealed_because
    assert not result.is_whole
    assert AuditEvent.objects.unsealed().count() == 2


def test_a_cut_off_tail_without_heads_outside_cannot_be_noticed(history, tamper, heads):
    """Why they must be kept: this is what the data base alone can prove."""
    tamper("DELETE FROM audit_auditevent WHERE seal = 3")
    tamper("DELETE FROM audit_seal WHERE number = 3")
    heads.unlink()

    assert verify().is_whole


def test_a_forged_head_outside_is_not_signed(history, heads):
    lines = heads.read_text().splitlines()
    forged = json.loads(lines[1]) | {"root": "00" * 32}
    heads.write_text("\n".join([lines[0], json.dumps(forged), lines[2]]) + "\n")

    result = verify()

    assert [(finding.kind, finding.line) for finding in result.findings] == [(Wrong.SIGNATURE_INVALID, 2)]


def test_garbage_among_the_heads_is_named_by_its_line(history, heads):
    lines = heads.read_text().splitlines()
    heads.write_text("\n".join([lines[0], "garbage", lines[2]]) + "\n")

    result = verify()

    assert not result.is_whole
    assert "line 2 of" in result.findings[0].message


def test_what_a_person_archived_is_told_apart_from_what_is_missing(history, tamper):
    record("ledger.archive", "audit.ledger:log", by=Principal("user", "ada"), because="kept on tape", first=1, last=4)
    seal_all()
    tamper("DELETE FROM audit_auditevent WHERE seal = 1")

    result = verify()

    assert result.is_whole
    assert found() == [("archived", n, 1) for n in range(1, 5)]
    tamper("DELETE FROM audit_auditevent WHERE position = 6")
    assert found()[-1] == ("missing", 6, 2)
    assert not verify().is_whole


def test_a_claim_to_have_archived_that_was_never_sealed_excuses_nothing(history, tamper, settings):
    tamper("DELETE FROM audit_auditevent WHERE position = 2")
    record("ledger.archive", "audit.ledger:log", by=Principal("user", "eve"), because="x", first="1", last=None)

    assert found() == [("missing", 2, 1)]


def test_more_is_counted_than_described(log, heads, tamper):
    log(FINDINGS_KEPT + 20)
    seal_all()
    tamper("DELETE FROM audit_auditevent WHERE position < %s", FINDINGS_KEPT + 10)

    result = verify()

    assert result.counts == {Wrong.MISSING: FINDINGS_KEPT + 9}
    assert len(result.findings) == FINDINGS_KEPT


def test_the_result_is_json(history, tamper):
    tamper("DELETE FROM audit_auditevent WHERE position = 6")

    value = json.loads(json.dumps(verify().as_json()))

    assert value["is_whole"] is False
    assert value["counts"] == {"missing": 1}
    assert value["findings"] == [{"kind": "missing", "message": "entry 6 is gone", "position": 6, "seal": 2}]
