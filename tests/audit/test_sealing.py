import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, connections, transaction

from audit.core.merkle import Edge, leaf_hash
from audit.core.proof import Proof, TreeHead, check_proof
from audit.core.refusals import Refused
from audit.keys import ring, rotate
from audit.ledger import record
from audit.models import AuditEvent, Seal
from audit.principals import SYSTEM
from audit.sealing import SealingStopped, proof_of, publish_heads, seal, seal_all, sealer_health, verify
from audit.signals import recorded
from audit.tasks import seal_ledger


def verifies(kid, data, signature):
    return ring().verify("seal", kid, data, signature)


def root_by_hand():
    """The root as anybody can compute it from the rows alone."""
    leaves = []
    for event in AuditEvent.objects.sealed():
        digest = hashlib.sha256(event.pk.to_bytes(8, "big") + bytes(event.body)).digest()
        leaves.append(leaf_hash(event.position.to_bytes(8, "big") + digest))
    return Edge().extended(leaves).root()


def test_sealing_numbers_entries_in_the_order_they_were_made(log, heads):
    made = log(5)

    assert seal() == 5

    assert [event.pk for event in AuditEvent.objects.sealed()] == [event.pk for event in made]
    assert list(AuditEvent.objects.sealed().values_list("position", "seal")) == [(n, 1) for n in range(1, 6)]
    assert seal() == 0
    assert Seal.objects.count() == 1


def test_each_seal_continues_the_tree_of_the_one_before(log, heads):
    for size in (1, 4, 3, 7):
        log(size)
        seal()

    assert list(Seal.objects.order_by("number").values_list("number", "first_position", "last_position")) == [
        (1, 1, 1), (2, 2, 5), (3, 6, 8), (4, 9, 15),
    ]  # fmt: skip
    last = Seal.objects.latest("number")
    assert bytes(last.root) == root_by_hand()
    assert last.head.is_signed(verifies)
    assert last.tree_size == 15


def test_a_seal_takes_no_more_than_its_limit(log, heads):
    log(7)

    assert [seal(3), seal(3), seal(3), seal(3)] == [3, 3, 1, 0]
    assert seal_all() == 0


def test_sealing_reads_only_what_is_new(log, heads, django_assert_max_num_queries):
    log(50)
    seal_all()
    log(1)

    with django_assert_max_num_queries(12) as asked:
        seal()

    assert not [query["sql"] for query in asked if '"digests"' in query["sql"] and query["sql"].startswith("SELECT")]


def test_what_is_not_committed_is_not_sealed(log, heads):
    log(1)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        record("lamp.light", "lamps.lamp:late", by=SYSTEM)
        assert pool.submit(sealed_elsewhere).result() == 1

    assert seal() == 1
    assert AuditEvent.objects.get(subject="lamps.lamp:late").position == 2


def sealed_elsewhere():
    try:
        return seal()
    finally:
        connections.close_all()


def test_who_commits_late_gets_a_later_position_and_is_not_missed(log, heads):
    with transaction.atomic():
        early = record("lamp.light", "lamps.lamp:early", by=SYSTEM)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(committed_elsewhere).result()

    seal()

    assert early.pk < AuditEvent.objects.get(subject="lamps.lamp:other").pk
    assert AuditEvent.objects.get(subject="lamps.lamp:other").position == 1
    assert AuditEvent.objects.get(subject="lamps.lamp:early").position == 2
    assert verify().is_whole


def committed_elsewhere():
    try:
        record("lamp.light", "lamps.lamp:other", by=SYSTEM)
        seal()
    finally:
        connections.close_all()


def test_a_seal_that_is_half_done_is_not_done(log, heads, monkeypatch):
    log(3)

    def fail(*args):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("audit.keys.KeyRing.sign", fail)
        with pytest.raises(ZeroDivisionError):
            seal()

    assert not AuditEvent.objects.sealed().exists()
    assert not heads.exists()
    assert seal() == 3
    assert verify().is_whole


@pytest.mark.concurrency
def test_eight_writers_and_four_sealers_leave_one_unbroken_log(log, heads):
    """Guard: the advisory lock in `audit.sealing._is_my_turn`."""
    barrier = Barrier(12)

    def work(number):
        barrier.wait(10)
        try:
            for n in range(20):
                if number < 8:
                    with transaction.atomic():
                        record("lamp.light", f"lamps.lamp:{number}", by=SYSTEM, n=n)
                else:
                    seal(7)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    seal_all()

    assert list(AuditEvent.objects.sealed().values_list("position", flat=True)) == list(range(1, 161))
    for writer in range(8):
        facts = AuditEvent.objects.sealed().filter(subject=f"lamps.lamp:{writer}").values_list("facts", flat=True)
        assert [fact["n"] for fact in facts] == list(range(20))
    result = verify()
    assert result.findings == []
    assert (result.is_whole, result.entries, result.tree_size) == (True, 160, 160)
    assert result.heads == result.seals == Seal.objects.count()


def test_a_lost_signal_loses_nothing(log, heads):
    """Nobody hears `recorded` here; the tick finds the work by query."""
    receivers, recorded.receivers = recorded.receivers, []
    recorded.sender_receivers_cache.clear()
    try:
        log(3)
        seal_ledger()
    finally:
        recorded.receivers = receivers
        recorded.sender_receivers_cache.clear()

    assert not AuditEvent.objects.unsealed().exists()
    assert verify().is_whole


def test_the_task_seals_more_than_one_batch(log, heads, monkeypatch):
    monkeypatch.setattr("audit.sealing.seal.__defaults__", (2,))
    log(5)

    seal_ledger()

    assert Seal.objects.count() == 3
    assert not AuditEvent.objects.unsealed().exists()


# --- Heads outside ---------------------------------------------------------------------------------------------------


def test_every_seal_is_written_outside_as_it_was_signed(log, heads):
    log(2)
    seal()
    log(1)
    seal()

    outside = [TreeHead.from_json(json.loads(line)) for line in heads.read_text().splitlines()]
    assert outside == [sealed.head for sealed in Seal.objects.order_by("number")]
    assert all(head.is_signed(verifies) for head in outside)
    assert heads.stat().st_mode & 0o777 == 0o600


def test_heads_that_a_crash_kept_inside_are_written_at_the_next_occasion(log, heads, monkeypatch):
    log(1)
    with monkeypatch.context() as patch:
        patch.setattr("audit.sealing.publish_heads", lambda: 0)
        seal()
    assert not heads.exists()
    assert sealer_health().heads_behind == 1

    seal_ledger()

    assert len(heads.read_text().splitlines()) == 1
    assert sealer_health().heads_behind == 0


def test_a_torn_line_is_cut_off_and_written_again(log, heads):
    log(1)
    seal()
    log(1)
    seal()
    whole = heads.read_bytes()
    heads.write_bytes(whole[:-20])

    assert verify().heads == 1
    assert publish_heads() == 1
    assert heads.read_bytes() == whole


def test_a_full_disk_outside_does_not_stop_the_log(log, heads, monkeypatch, caplog):
    def fail(*args):
        raise OSError("No space left on device")

    log(1)
    with monkeypatch.context() as patch:
        patch.setattr("audit.heads.os.open", fail)
        assert seal() == 1
    assert sealer_health().heads_behind == 1
    assert "No space left" in caplog.text

    seal_ledger()

    assert sealer_health().heads_behind == 0


def test_heads_that_cannot_be_read_stop_the_log(log, heads):
    heads.mkdir(parents=True)
    log(1)

    with pytest.raises(SealingStopped, match="cannot be read"):
        seal()

    assert not AuditEvent.objects.sealed().exists()
    assert "cannot be read" in sealer_health().stopped_because


def test_without_a_place_outside_the_log_still_goes_on(log, settings):
    settings.WORKA_TREE_HEADS = ""
    log(1)

    assert seal() == 1
    assert publish_heads() == 0
    result = verify()
    assert result.is_whole
    assert "no heads are kept outside" in result.sentence


# --- Proofs ----------------------------------------------------------------------------------------------------------


def test_every_entry_is_proven_up_to_the_newest_head(log, heads):
    for size in (1, 4, 3, 7):
        log(size)
        seal()

    for event in AuditEvent.objects.sealed():
        proof = Proof.from_json(json.loads(json.dumps(proof_of(event).as_json())))
        assert check_proof(proof, verifies) == ""
        assert proof.newest.tree_size == 15
        assert proof.newest.root == root_by_hand()


def test_an_entry_that_waits_is_sealed_to_be_proven(log, heads):
    (event,) = log(1)

    proof = proof_of(event)

    assert proof.position == event.position == 1
    assert check_proof(proof, verifies) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda proof: proof["entry"].update(body=proof["entry"]["body"].replace("dark", "lark")),
            "do not lead to the root",
        ),
        (lambda proof: proof["entry"].update(position=2), "do not lead to the root"),
        (lambda proof: proof["entry"].update(id=proof["entry"]["id"] + 1), "do not lead to the root"),
        (lambda proof: proof["path"].pop(), "do not lead to the root"),
        (lambda proof: proof["path"].append("00" * 32), "do not lead to the root"),
        (lambda proof: proof["head"].update(at="2020-01-01T00:00:00.000000Z"), "not signed"),
        (lambda proof: proof["head"].update(kid="0" * 16), "not signed"),
        (lambda proof: proof["consistency"].append("00" * 32), "does not continue"),
        (lambda proof: proof["newest"].update(root="00" * 32), "does not continue"),
        (lambda proof: proof["newest"].update(signature="00" * 64), "not signed"),
    ],
)
def test_a_bent_proof_is_refused_with_the_reason(log, heads, at_position, change, why):
    log(4)
    seal()
    log(3)
    seal()
    document = proof_of(at_position(3)).as_json()
    change(document)

    assert why in check_proof(Proof.from_json(document), verifies)


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: proof.update(version=2),
        lambda proof: proof.pop("entry"),
        lambda proof: proof["entry"].update(id="1"),
        lambda proof: proof["entry"].update(position=0),
        lambda proof: proof["entry"].update(body=None),
        lambda proof: proof.update(path=["zz"]),
        lambda proof: proof.update(path=["00"]),
        lambda proof: proof["head"].update(root="00"),
        lambda proof: proof["head"].update(seal="1"),
        lambda proof: proof.update(newest=None),
    ],
)
def test_what_is_no_proof_is_refused(log, heads, at_position, change):
    log(2)
    seal()
    document = proof_of(at_position(1)).as_json()
    change(document)

    with pytest.raises(Refused) as refused:
        Proof.from_json(document)
    assert refused.value.code == "invalid"


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_a_log_under_several_keys_is_whole(log, heads, settings, tmp_path):
    from audit.keys import generate_key_file

    settings.WORKA_KEYS_FILE = tmp_path / "keys.json"
    generate_key_file(settings.WORKA_KEYS_FILE)
    log(1)
    seal()
    rotate("seal")
    log(1)
    seal()

    assert len(set(Seal.objects.values_list("kid", flat=True))) == 2
    assert verify().is_whole


def test_health_says_what_waits_and_since_when(log, heads):
    assert (sealer_health().waiting, sealer_health().last_sealed_at) == (0, None)
    events = log(3)

    waiting = sealer_health()
    assert (waiting.waiting, waiting.waiting_since, waiting.stopped_because) == (3, events[0].at, "")

    seal()
    after = sealer_health()
    assert (after.waiting, after.waiting_since) == (0, None)
    assert after.last_sealed_at == Seal.objects.get().sealed_at
