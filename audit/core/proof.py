"""What is signed about the ledger, and how one entry is proven to stand in it; all of it without the data base."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from audit.core.canonical import NotCanonical, canonical, parse
from audit.core.codes import Code
from audit.core.merkle import HASH_BYTES, is_consistent, leaf_hash, root_from_inclusion
from audit.core.refusals import Refused

PROOF_VERSION = 1
# What a signature is about is part of what is signed, so that no other signed text can pose as a tree head.
HEAD_CONTEXT = b"worka tree head v1\n"
RESTORE_CONTEXT = b"worka accepted restore v1\n"

# Says whether the key of this name made the signature over the data.
Verify = Callable[[str, bytes, bytes], bool]


def entry_digest(id_: int, body: bytes) -> bytes:
    """Return the SHA-256 of an entry: its identity and its canonical bytes."""
    return hashlib.sha256(id_.to_bytes(8, "big") + body).digest()


def entry_leaf(position: int, digest: bytes) -> bytes:
    """Return the Merkle leaf of an entry, which binds it to its position in the log."""
    return leaf_hash(position.to_bytes(8, "big") + digest)


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The log after one seal: its number, how many entries, their root, when, and who signed that.

    `restore` is the sentence with which a person accepted that the log continues from here, otherwise "".
    """

    seal: int
    tree_size: int
    root: bytes
    at: str
    restore: str = ""
    kid: str = ""
    signature: bytes = b""

    def signed(self) -> bytes:
        """Return the bytes that the signature is over."""
        facts = {"seal": self.seal, "tree_size": self.tree_size, "root": self.root.hex(), "at": self.at}
        if self.restore:
            return RESTORE_CONTEXT + canonical({**facts, "restore": self.restore})
        return HEAD_CONTEXT + canonical(facts)

    def is_signed(self, verify: Verify) -> bool:
        """Say whether a known key made the signature; a head that has no canonical form was never signed."""
        try:
            return verify(self.kid, self.signed(), self.signature)
        except NotCanonical:
            return False

    def as_json(self) -> dict[str, Any]:
        found = {
            "seal": self.seal, "tree_size": self.tree_size, "root": self.root.hex(), "at": self.at,
            "kid": self.kid, "signature": self.signature.hex(),
        }  # fmt: skip
        return {**found, "restore": self.restore} if self.restore else found

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read a head back, or refuse with `invalid`."""
        try:
            head = cls(
                seal=value["seal"], tree_size=value["tree_size"], root=bytes.fromhex(value["root"]), at=value["at"],
                restore=value.get("restore", ""), kid=value["kid"], signature=bytes.fromhex(value["signature"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Refused("this is no signed tree head", code=Code.INVALID) from None
        numbers = isinstance(head.seal, int) and isinstance(head.tree_size, int)
        texts = all(isinstance(text, str) for text in (head.at, head.restore, head.kid))
        if not numbers or not texts or len(head.root) != HASH_BYTES:
            raise Refused("this is no signed tree head", code=Code.INVALID)
        return head


@dataclass(frozen=True, slots=True)
class Proof:
    """That one entry stands at its position: a path to the head of its seal, and from there to the newest head."""

    id: int
    position: int
    body: bytes
    path: tuple[bytes, ...]
    head: TreeHead
    consistency: tuple[bytes, ...]
    newest: TreeHead

    def as_json(self) -> dict[str, Any]:
        return {
            "version": PROOF_VERSION,
            "entry": {"id": self.id, "position": self.position, "body": self.body.decode()},
            "leaf": entry_leaf(self.position, entry_digest(self.id, self.body)).hex(),
            "path": [node.hex() for node in self.path],
            "head": self.head.as_json(),
            "consistency": [node.hex() for node in self.consistency],
            "newest": self.newest.as_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a proof from outside, or refuse with `invalid`."""
        try:
            if value["version"] != PROOF_VERSION:
                raise Refused(f"only proofs of version {PROOF_VERSION} can be checked", code=Code.INVALID)
            entry = value["entry"]
            return cls(
                id=_natural(entry["id"]),
                position=_natural(entry["position"]),
                body=entry["body"].encode(),
                path=_hashes(value["path"]),
                head=TreeHead.from_json(value["head"]),
                consistency=_hashes(value["consistency"]),
                newest=TreeHead.from_json(value["newest"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Refused("this is no proof of a ledger entry", code=Code.INVALID) from None


def check_proof(proof: Proof, verify: Verify) -> str:
    """Return "" if the proof holds, else the one thing that is wrong with it."""
    parse(proof.body)
    leaf = entry_leaf(proof.position, entry_digest(proof.id, proof.body))
    if root_from_inclusion(proof.position - 1, proof.head.tree_size, leaf, proof.path) != proof.head.root:
        return "the entry and its path do not lead to the root"
    if not proof.head.is_signed(verify):
        return f"the head of seal {proof.head.seal} is not signed by a key that is known"
    if not is_consistent(
        proof.head.tree_size, proof.newest.tree_size, proof.head.root, proof.newest.root, proof.consistency
    ):
        return "the newest head does not continue the head that the entry is under"
    if not proof.newest.is_signed(verify):
        return f"the head of seal {proof.newest.seal} is not signed by a key that is known"
    return ""


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**63:
        raise ValueError("not a number of an entry")
    return value


def _hashes(values: Any) -> tuple[bytes, ...]:
    found = tuple(bytes.fromhex(value) for value in values)
    if any(len(one) != HASH_BYTES for one in found):
        raise ValueError("not a hash")
    return found
