"""A Merkle tree over a growing list (RFC 9162, section 2.1), of which only the edge need be remembered.

Everything here works on leaf hashes of 32 bytes. Indices are 0-based; a tree of size n holds the leaves 0 … n-1.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class Incomplete(Exception):
    """A hash was asked for that the edge and the leaves at hand do not determine."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf; its prefix keeps a leaf from ever posing as a node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: the roots of its maximal complete subtrees, largest first; all that appending needs."""

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.nodes) != self.size.bit_count():
            raise ValueError(f"the edge of a tree of {self.size} leaves has {self.size.bit_count()} nodes")

    def extended(self, leaves: Iterable[bytes]) -> "Edge":
        """Return the edge after appending the leaf hashes."""
        size, nodes = self.size, list(self.nodes)
        for leaf in leaves:
            carry, node = size, leaf
            while carry & 1:
                node = node_hash(nodes.pop(), node)
                carry >>= 1
            nodes.append(node)
            size += 1
        return Edge(size, tuple(nodes))

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self.nodes:
            return EMPTY_ROOT
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = node_hash(left, node)
        return node

    def to_bytes(self) -> bytes:
        return b"".join(self.nodes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Self:
        """Read an edge back; raise `ValueError` if the data are not the edge of a tree of this size."""
        if len(data) % HASH_BYTES:
            raise ValueError("an edge is a whole number of hashes")
        return cls(size, tuple(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)))


@dataclass(frozen=True, slots=True)
class Window:
    """The end of a tree: the edge before it, and the leaf hashes after; enough to prove every leaf in it."""

    before: Edge
    leaves: Sequence[bytes]

    @property
    def size(self) -> int:
        return self.before.size + len(self.leaves)

    def subtree(self, start: int, end: int) -> bytes:
        """Return the hash of the leaves start … end-1; raise `Incomplete` if it lies inside what was forgotten."""
        if start >= self.before.size:
            return Edge().extended(self.leaves[start - self.before.size : end - self.before.size]).root()
        if end <= self.before.size:
            offset = 0
            for node, width in zip(self.before.nodes, _widths(self.before.size), strict=True):
                if (offset, offset + width) == (start, end):
                    return node
                offset += width
        if end - start == 1:
            raise Incomplete(f"leaf {start} lies before the window")
        middle = start + _split(end - start)
        return node_hash(self.subtree(start, middle), self.subtree(middle, end))

    def inclusion(self, index: int) -> list[bytes]:
        """Return the path from a leaf to the root (RFC 9162, 2.1.3.1), lowest sibling first."""
        if not 0 <= index < self.size:
            raise ValueError(f"there is no leaf {index} in a tree of {self.size}")
        path: list[bytes] = []
        start, end = 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self.subtree(middle, end))
                end = middle
            else:
                path.append(self.subtree(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, older: int) -> list[bytes]:
        """Return the proof that the tree of size `older` is the beginning of this one (RFC 9162, 2.1.4.1)."""
        if not 0 < older <= self.size:
            raise ValueError(f"a tree of {older} leaves is no beginning of one of {self.size}")
        proof: list[bytes] = []
        start, end, is_whole = 0, self.size, True
        while older != end:
            middle = start + _split(end - start)
            if older <= middle:
                proof.append(self.subtree(middle, end))
                end = middle
            else:
                proof.append(self.subtree(start, middle))
                start, is_whole = middle, False
        if not is_whole:
            proof.append(self.subtree(start, end))
        return proof[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Return the root that the path leads to (RFC 9162, 2.1.3.2), or None if the path has the wrong length."""
    if not 0 <= index < size:
        return None
    node, last, place = leaf, size - 1, index
    for sibling in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def is_consistent(older: int, newer: int, older_root: bytes, newer_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether the proof shows the older tree to be the beginning of the newer (RFC 9162, 2.1.4.2)."""
    if not 0 < older <= newer:
        return False
    if older == newer:
        return not proof and older_root == newer_root
    nodes = list(proof)
    if older & (older - 1) == 0:
        nodes.insert(0, older_root)
    if not nodes:
        return False
    place, last = older - 1, newer - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    left = right = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            left, right = node_hash(node, left), node_hash(node, right)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            right = node_hash(right, node)
        place, last = place >> 1, last >> 1
    return last == 0 and left == older_root and right == newer_root


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _widths(size: int) -> list[int]:
    return [1 << bit for bit in range(size.bit_length() - 1, -1, -1) if size >> bit & 1]
