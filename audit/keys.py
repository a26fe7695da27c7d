"""The keys that encrypt payloads, sign the ledger and sign agents' tokens, and how they are replaced.

A ring is JSON: `{"version": 1, "encryption": [{"kid", "key"}, …], "seal": […], "token": […]}`; keys are base64. The
first of a kind is active, the others are still accepted. A signing key that is only accepted may be kept as `public`.
"""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection

Kind = Literal["encryption", "seal", "token"]
KINDS: tuple[Kind, ...] = get_args(Kind)

RING_VERSION = 1
BLOB_BY_RING = b"\x01"
BLOB_BY_DATA_KEY = b"\x02"
KID_CHARACTERS = 16  # of hex, so a kid is 8 bytes inside a blob
NONCE_BYTES = 12  # NIST SP 800-38D, section 5.2.1.1
KEY_BYTES = 32
TOKEN_KEYS_ACCEPTED = 2


class KeysMissing(Exception):
    """There is no usable key ring; the message says what to do."""


class Unreadable(Exception):
    """The ciphertext was not made by these keys for this row, or was changed since."""


@dataclass(frozen=True, slots=True)
class _Signer:
    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None


class KeyRing:
    """All keys of one deployment; make it with `ring()`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Read the JSON form; raise `KeysMissing` if it is not one."""
        try:
            if document["version"] != RING_VERSION:
                raise KeysMissing(f"this Worka reads key rings of version {RING_VERSION}")
            self._ciphers = {entry["kid"]: AESGCM(_bytes(entry["key"])) for entry in document["encryption"]}
            self._signers: dict[str, dict[str, _Signer]] = {
                kind: {entry["kid"]: _signer(entry) for entry in document[kind]} for kind in ("seal", "token")
            }
        except (KeyError, TypeError, ValueError) as error:
            raise KeysMissing(f"the key ring is damaged: {error!r}") from None
        kids_by_kind: dict[str, list[str]] = {kind: self.kids(kind) for kind in KINDS}
        for kind, kids in kids_by_kind.items():
            if not kids:
                raise KeysMissing(f"the key ring has no {kind} key")
            if not all(len(kid) == KID_CHARACTERS and set(kid) <= set("0123456789abcdef") for kid in kids):
                raise KeysMissing(f"the name of a key is {KID_CHARACTERS} characters of hex")
        for kind, signers in self._signers.items():
            if next(iter(signers.values())).private is None:
                raise KeysMissing(f"the active {kind} key is public only")

    def active_kid(self, kind: Kind) -> str:
        """Return the name of the key that is used for what is made now."""
        return next(iter(self._ciphers if kind == "encryption" else self._signers[kind]))

    def kids(self, kind: Kind) -> list[str]:
        """Return the names of all accepted keys, the active one first."""
        return list(self._ciphers if kind == "encryption" else self._signers[kind])

    def encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt with the active key, bound to `aad`: the identity of the row and field that will hold it."""
        kid = self.active_kid("encryption")
        header = BLOB_BY_RING + bytes.fromhex(kid)
        nonce = secrets.token_bytes(NONCE_BYTES)
        return header + nonce + self._ciphers[kid].encrypt(nonce, plaintext, _bound(header, aad))

    def decrypt(self, blob: bytes, aad: bytes) -> bytes:
        """Open what `encrypt` made for the same `aad`, or raise `Unreadable`."""
        header, kid = blob[:9], kid_of(blob)
        if kid not in self._ciphers:
            raise Unreadable(f"the encryption key {kid} is not in the key ring")
        try:
            return self._ciphers[kid].decrypt(blob[9:21], blob[21:], _bound(header, aad))
        except (InvalidTag, ValueError):
            raise Unreadable("the ciphertext was changed, or belongs to another row") from None

    def sign(self, kind: Literal["seal", "token"], data: bytes) -> tuple[str, bytes]:
        """Sign with the active key; return its name and the Ed25519 signature (64 bytes)."""
        kid = self.active_kid(kind)
        private = self._signers[kind][kid].private
        assert private is not None
        return kid, private.sign(data)

    def verify(self, kind: Literal["seal", "token"], kid: str, data: bytes, signature: bytes) -> bool:
        """Say whether an accepted key of this name made the signature."""
        signer = self._signers[kind].get(kid)
        if signer is None:
            return False
        try:
            signer.public.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def token_keys(self) -> list[tuple[str, Ed25519PrivateKey]]:
        """Return the keys that agents' tokens are signed with, the active one first."""
        return [(kid, signer.private) for kid, signer in self._signers["token"].items() if signer.private]

    def public_keys(self, kind: Literal["seal", "token"]) -> dict[str, Ed25519PublicKey]:
        """Return every accepted public key by name, for whoever verifies without us."""
        return {kid: signer.public for kid, signer in self._signers[kind].items()}


def kid_of(blob: bytes) -> str:
    """Return the name of the key that a ring's blob was encrypted with, or raise `Unreadable`."""
    if blob[:1] != BLOB_BY_RING or len(blob) < 1 + KID_CHARACTERS // 2 + NONCE_BYTES + 16:
        raise Unreadable("this is no ciphertext of a key ring")
    return blob[1:9].hex()


def new_data_key() -> bytes:
    """Make a key for the payloads of one run; it is stored only encrypted by the ring."""
    return secrets.token_bytes(KEY_BYTES)


def seal_with(data_key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Encrypt with a data key, bound to `aad`: the identity of the row and field that will hold it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return BLOB_BY_DATA_KEY + nonce + AESGCM(data_key).encrypt(nonce, plaintext, _bound(BLOB_BY_DATA_KEY, aad))


def open_with(data_key: bytes, blob: bytes, aad: bytes) -> bytes:
    """Open what `seal_with` made with the same key for the same `aad`, or raise `Unreadable`."""
    try:
        return AESGCM(data_key).decrypt(blob[1:13], blob[13:], _bound(blob[:1], aad))
    except (InvalidTag, ValueError):
        raise Unreadable("the ciphertext was changed, or belongs to another row") from None


# --- Where the ring is ----------------------------------------------------------------------------------------------

_cache: tuple[object, KeyRing] | None = None
_cache_lock = threading.Lock()


def ring() -> KeyRing:
    """Return the deployment's key ring, read again when the file has changed; raise `KeysMissing`."""
    global _cache
    stamp = _stamp()
    cached = _cache
    if cached and cached[0] == stamp:
        return cached[1]
    with _cache_lock:
        loaded = KeyRing(_document())
        _cache = (stamp, loaded)
        return loaded


def generate_key_file(path: Path | str) -> None:
    """Write a new key ring with one key of each kind; raise `FileExistsError` rather than lose a ring."""
    document: dict[str, Any] = {"version": RING_VERSION} | {kind: [_new_entry(kind)] for kind in KINDS}
    target = Path(path)
    draft = _draft(target, document)
    try:
        os.link(draft, target)  # unlike a rename, this never replaces
    finally:
        draft.unlink()
    _sync_folder(target.parent)


def rotate(kind: Kind) -> str:
    """Make a new active key of this kind in the key file and return its name; older ones stay accepted.

    An older sealing key is kept as public key only; of token keys the last two are. Keys that come from the
    environment cannot be written back: `KeysMissing`.
    """
    with _alone_with_key_file() as path:
        document = _document()
        older = list(document[kind])
        if kind == "seal":
            older = [
                {"kid": kept["kid"], "public": _encoded(_signer(kept).public.public_bytes_raw())} for kept in older
            ]
        if kind == "token":
            older = older[: TOKEN_KEYS_ACCEPTED - 1]
        made = _new_entry(kind)
        document[kind] = [made, *older]
        _replace(path, document)
    return made["kid"]


def drop_old_encryption_keys() -> list[str]:
    """Forget all encryption keys but the active one, once nothing is encrypted with them; return their names.

    Only inside `encrypting_alone`, after every registered rewrap has nothing left: what is still encrypted with them is lost.
    """
    with _alone_with_key_file() as path:
        document = _document()
        document["encryption"], old = document["encryption"][:1], document["encryption"][1:]
        if old:
            _replace(path, document)
    return [entry["kid"] for entry in old]


# --- What must be encrypted again after a rotation -------------------------------------------------------------------

ENCRYPTION_LOCK = (
    0x4E75  # the key of the advisory lock between those who encrypt with the ring and who forgets its keys
)


def keep_encryption_keys() -> None:
    """Let no encryption key be forgotten before this transaction is over; call it before `ring()`, to store what it encrypts.

    A row that is not committed cannot be wrapped again: nobody else sees it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [ENCRYPTION_LOCK])


@contextmanager
def encrypting_alone() -> Iterator[None]:
    """Wait until everything that others have encrypted is committed, and let them encrypt again afterwards.

    A lock of the session, not of a transaction: what is wrapped inside is committed before a key is forgotten.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [ENCRYPTION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ENCRYPTION_LOCK])


# Wraps up to so many rows with the active key and returns how many it wrapped; 0 when all are.
Rewrap = Callable[[int], int]

rewraps: dict[str, Rewrap] = {}


def register_rewrap(name: str, rewrap: Rewrap) -> None:
    """Announce rows that the ring encrypts, so that rotation reaches them; `name` is shown as progress.

    Who makes such rows calls `keep_encryption_keys` first.
    """
    rewraps[name] = rewrap


# --- Inside ---------------------------------------------------------------------------------------------------------


def _stamp() -> object:
    if settings.WORKA_KEYS:
        return settings.WORKA_KEYS
    try:
        found = Path(settings.WORKA_KEYS_FILE).stat()
    except OSError:
        raise KeysMissing(f"there is no key ring at {settings.WORKA_KEYS_FILE}") from None
    return str(settings.WORKA_KEYS_FILE), found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


def _document() -> dict[str, Any]:
    if settings.WORKA_KEYS:
        text = settings.WORKA_KEYS
    else:
        path = Path(settings.WORKA_KEYS_FILE)
        _demand_privacy(path)
        text = path.read_text()
    try:
        document = json.loads(text)
    except ValueError:
        raise KeysMissing("the key ring is not JSON") from None
    if not isinstance(document, dict):
        raise KeysMissing("the key ring is not a JSON object")
    return document


def _demand_privacy(path: Path) -> None:
    found = path.stat()
    # A secret that a cluster mounts belongs to root and may be read by our group; our own files only by us.
    tolerated = 0o740 if found.st_uid != os.geteuid() else 0o700
    if found.st_mode & 0o777 & ~tolerated:
        raise KeysMissing(f"others can read the key ring {path}: chmod 600 {path}, and rotate the keys")


@contextmanager
def _alone_with_key_file() -> Iterator[Path]:
    """Keep two rotations apart; the second would otherwise lose the key that the first has made."""
    if settings.WORKA_KEYS:
        raise KeysMissing("the keys come from the environment (WORKA_KEYS): change them where it is set")
    path = Path(settings.WORKA_KEYS_FILE)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)


def _replace(path: Path, document: Mapping[str, Any]) -> None:
    KeyRing(document)
    _draft(path, document).replace(path)
    _sync_folder(path.parent)


def _draft(path: Path, document: Mapping[str, Any]) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _new_entry(kind: Kind) -> dict[str, str]:
    if kind == "encryption":
        return {"kid": secrets.token_hex(KID_CHARACTERS // 2), "key": _encoded(secrets.token_bytes(KEY_BYTES))}
    private = Ed25519PrivateKey.generate()
    return {"kid": _kid_for(private.public_key()), "key": _encoded(private.private_bytes_raw())}


def _signer(entry: Mapping[str, str]) -> _Signer:
    private = Ed25519PrivateKey.from_private_bytes(_bytes(entry["key"])) if "key" in entry else None
    public = private.public_key() if private else Ed25519PublicKey.from_public_bytes(_bytes(entry["public"]))
    if entry["kid"] != _kid_for(public):
        raise ValueError(f"the key {entry['kid']} is not the one its name says")
    return _Signer(public, private)


def _kid_for(public: Ed25519PublicKey) -> str:
    """Name a signing key by its own digest, so that a name can never mean another key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:KID_CHARACTERS]


def _bound(header: bytes, aad: bytes) -> bytes:
    if not aad:
        raise ValueError("say which row and field the ciphertext belongs to")
    return header + aad


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
