import base64
import json
import os
import stat
import threading

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.keys import (
    KeysMissing,
    Unreadable,
    drop_old_encryption_keys,
    generate_key_file,
    kid_of,
    new_data_key,
    open_with,
    ring,
    rotate,
    seal_with,
)

AAD = b"governance.step:1:result"


@pytest.fixture
def key_file(settings, tmp_path):
    settings.WORKA_KEYS = ""
    settings.WORKA_KEYS_FILE = tmp_path / "keys.json"
    generate_key_file(settings.WORKA_KEYS_FILE)
    return settings.WORKA_KEYS_FILE


def flipped(blob, at):
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


# --- The file --------------------------------------------------------------------------------------------------------


def test_a_new_ring_has_a_key_of_each_kind_and_is_for_us_alone(key_file):
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    document = json.loads(key_file.read_text())
    assert {kind: len(keys) for kind, keys in document.items() if kind != "version"} == {
        "encryption": 1,
        "seal": 1,
        "token": 1,
    }
    assert [path.name for path in key_file.parent.iterdir()] == ["keys.json"]


def test_a_ring_is_never_replaced_by_a_new_one(key_file):
    before = key_file.read_text()

    with pytest.raises(FileExistsError):
        generate_key_file(key_file)

    assert key_file.read_text() == before
    assert [path.name for path in key_file.parent.iterdir()] == ["keys.json"]


def test_no_two_rings_share_a_key(key_file, tmp_path):
    generate_key_file(tmp_path / "other.json")

    keys = [
        entry["key"]
        for path in (key_file, tmp_path / "other.json")
        for kind in ("encryption", "seal", "token")
        for entry in json.loads(path.read_text())[kind]
    ]
    assert len(set(keys)) == 6


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_ring_that_others_can_read_is_refused(key_file, mode):
    key_file.chmod(mode)

    with pytest.raises(KeysMissing, match="chmod 600"):
        ring()


def test_a_missing_ring_is_named(settings, tmp_path):
    settings.WORKA_KEYS_FILE = tmp_path / "nowhere.json"

    with pytest.raises(KeysMissing, match=r"no key ring at .*nowhere\.json"):
        ring()


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", "{}", '{"version": 2}', '{"version": 1, "encryption": [], "seal": [], "token": []}'],
)
def test_a_damaged_ring_is_refused(key_file, text):
    key_file.write_text(text)

    with pytest.raises(KeysMissing):
        ring()


def test_a_signing_key_under_the_name_of_another_is_refused(key_file):
    document = json.loads(key_file.read_text())
    document["seal"][0]["kid"] = document["token"][0]["kid"]
    key_file.write_text(json.dumps(document))

    with pytest.raises(KeysMissing, match="not the one its name says"):
        ring()


def test_the_environment_wins_over_the_file(key_file, settings, tmp_path):
    generate_key_file(tmp_path / "other.json")
    blob = ring().encrypt(b"secret", AAD)
    settings.WORKA_KEYS = (tmp_path / "other.json").read_text()

    with pytest.raises(Unreadable, match="is not in the key ring"):
        ring().decrypt(blob, AAD)
    with pytest.raises(KeysMissing, match="environment"):
        rotate("encryption")


def test_a_ring_is_read_once_while_the_file_stays_the_same(key_file):
    assert ring() is ring()


# --- Encryption ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=40))
def test_what_is_encrypted_is_read_back_only_for_its_row(plaintext, aad):
    blob = ring().encrypt(plaintext, aad)

    assert ring().decrypt(blob, aad) == plaintext
    with pytest.raises(Unreadable, match="another row"):
        ring().decrypt(blob, aad + b"x")


def test_the_same_text_never_looks_the_same(key_file):
    assert ring().encrypt(b"secret", AAD) != ring().encrypt(b"secret", AAD)
    assert b"secret" not in ring().encrypt(b"secret", AAD)


def test_a_change_of_any_byte_is_noticed(key_file):
    blob = ring().encrypt(b"secret", AAD)

    for at in range(len(blob)):
        with pytest.raises(Unreadable):
            ring().decrypt(flipped(blob, at), AAD)


@pytest.mark.parametrize("length", [0, 1, 8, 20, 36])
def test_a_cut_blob_is_unreadable(key_file, length):
    with pytest.raises(Unreadable):
        ring().decrypt(ring().encrypt(b"", AAD)[:length], AAD)


def test_nothing_is_encrypted_for_no_row_in_particular(key_file):
    with pytest.raises(ValueError, match="which row"):
        ring().encrypt(b"secret", b"")
    with pytest.raises(ValueError, match="which row"):
        seal_with(new_data_key(), b"secret", b"")


def test_a_data_key_seals_for_one_row(key_file):
    key = new_data_key()
    blob = seal_with(key, b"secret", AAD)

    assert len(key) == 32
    assert open_with(key, blob, AAD) == b"secret"
    for wrong in [(new_data_key(), blob, AAD), (key, blob, AAD + b"x"), (key, blob[:5], AAD), (key, b"", AAD)]:
        with pytest.raises(Unreadable):
            open_with(*wrong)
    for at in range(len(blob)):
        with pytest.raises(Unreadable):
            open_with(key, flipped(blob, at), AAD)


def test_a_blob_of_the_ring_cannot_pose_as_one_of_a_data_key(key_file):
    key = base64.b64decode(json.loads(key_file.read_text())["encryption"][0]["key"])
    blob = ring().encrypt(b"secret", AAD)

    with pytest.raises(Unreadable):
        open_with(key, blob, AAD)
    with pytest.raises(Unreadable):
        open_with(key, b"\x02" + blob[9:], AAD)


# --- Signing ---------------------------------------------------------------------------------------------------------


def test_a_signature_holds_for_its_text_its_kind_and_its_key(key_file):
    kid, signature = ring().sign("seal", b"text")

    assert ring().verify("seal", kid, b"text", signature)
    assert not ring().verify("seal", kid, b"other", signature)
    assert not ring().verify("token", kid, b"text", signature)
    assert not ring().verify("seal", "0" * 16, b"text", signature)
    assert not ring().verify("seal", kid, b"text", flipped(signature, 0))
    assert not ring().verify("seal", kid, b"text", b"")


def test_token_keys_sign_tokens(key_file):
    (kid, key), *_ = ring().token_keys()

    token = jwt.encode({"sub": "agent:ernest"}, key, algorithm="EdDSA", headers={"kid": kid})

    assert jwt.decode(token, ring().public_keys("token")[kid], algorithms=["EdDSA"]) == {"sub": "agent:ernest"}


# --- Rotation --------------------------------------------------------------------------------------------------------


def test_after_a_rotation_old_blobs_open_and_new_ones_have_the_new_key(key_file):
    old_kid = ring().active_kid("encryption")
    old = ring().encrypt(b"secret", AAD)

    new_kid = rotate("encryption")

    assert ring().kids("encryption") == [new_kid, old_kid]
    assert ring().decrypt(old, AAD) == b"secret"
    assert kid_of(old) == old_kid
    assert kid_of(ring().encrypt(b"secret", AAD)) == new_kid
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_dropped_keys_open_nothing_any_more(key_file):
    old = ring().encrypt(b"secret", AAD)
    old_kid = ring().active_kid("encryption")
    rotate("encryption")

    assert drop_old_encryption_keys() == [old_kid]
    assert drop_old_encryption_keys() == []

    with pytest.raises(Unreadable, match=old_kid):
        ring().decrypt(old, AAD)


def test_an_old_sealing_key_still_verifies_and_can_no_longer_sign(key_file):
    kid, signature = ring().sign("seal", b"text")

    new_kid = rotate("seal")

    assert ring().verify("seal", kid, b"text", signature)
    assert ring().sign("seal", b"text")[0] == new_kid
    assert "key" not in json.loads(key_file.read_text())["seal"][1]
    assert ring().verify("seal", kid, b"text", signature)
    rotate("seal")
    assert ring().verify("seal", kid, b"text", signature)


def test_two_token_keys_are_accepted_at_once(key_file):
    first = ring().active_kid("token")
    second, third = rotate("token"), rotate("token")

    assert [kid for kid, _ in ring().token_keys()] == [third, second]
    assert first not in ring().public_keys("token")
    assert all(isinstance(key, Ed25519PrivateKey) for _, key in ring().token_keys())


def test_a_ring_whose_active_key_cannot_sign_is_refused(key_file):
    rotate("seal")
    document = json.loads(key_file.read_text())
    document["seal"].reverse()
    key_file.write_text(json.dumps(document))

    with pytest.raises(KeysMissing, match="public only"):
        ring()


def test_rotations_at_once_lose_no_key(key_file):
    """Guard: the lock in `audit.keys._alone_with_key_file`."""
    threads = [threading.Thread(target=rotate, args=("encryption",)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ring().kids("encryption"))) == 9
    assert [path.name for path in key_file.parent.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("kind", ["encryption", "seal", "token"])
def test_an_interrupted_rotation_leaves_the_old_ring(key_file, monkeypatch, kind):
    before = key_file.read_text()

    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        rotate(kind)

    assert key_file.read_text() == before
