"""The tree against RFC 6962's published roots, and against the definitions of RFC 9162 written down a second time."""

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audit.core.merkle import (
    EMPTY_ROOT,
    Edge,
    Incomplete,
    Window,
    is_consistent,
    leaf_hash,
    node_hash,
    root_from_inclusion,
)

# The inputs and roots that the reference implementation of Certificate Transparency tests itself with.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

sizes = st.integers(min_value=1, max_value=70)


def leaves_of(size):
    return [leaf_hash(str(number).encode()) for number in range(size)]


# --- RFC 9162, section 2.1, as literally as Python allows ------------------------------------------------------------


def k_of(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d):
    if not d:
        return hashlib.sha256().digest()
    if len(d) == 1:
        return d[0]
    k = k_of(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m, d):
    if len(d) == 1:
        return []
    k = k_of(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m, d, b):
    if m == len(d):
        return [] if b else [mth(d)]
    k = k_of(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


# --- Roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_that_certificate_transparency_publishes(size):
    edge = Edge().extended(leaf_hash(bytes.fromhex(text)) for text in INPUTS[:size])

    assert edge.root().hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), max_size=70), st.integers(min_value=0))
def test_growing_in_two_batches_gives_the_root_of_the_definition(inputs, cut):
    leaves = [leaf_hash(one) for one in inputs]
    cut = cut % (len(leaves) + 1)

    edge = Edge().extended(leaves[:cut]).extended(leaves[cut:])

    assert edge.root() == mth(leaves)
    assert edge.size == len(leaves)


@given(sizes)
def test_an_edge_survives_being_stored(size):
    edge = Edge().extended(leaves_of(size))

    assert Edge.from_bytes(size, edge.to_bytes()) == edge


def test_an_edge_of_another_size_is_refused():
    edge = Edge().extended(leaves_of(3))

    with pytest.raises(ValueError, match="4 leaves has 1 nodes"):
        Edge.from_bytes(4, edge.to_bytes())
    with pytest.raises(ValueError, match="whole number"):
        Edge.from_bytes(3, edge.to_bytes()[:-1])


def test_the_empty_tree_has_the_root_of_nothing():
    assert Edge().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_a_leaf_can_never_pose_as_a_node():
    left, right = leaves_of(2)

    assert leaf_hash(left + right) != node_hash(left, right)


# --- Inclusion -------------------------------------------------------------------------------------------------------


@given(sizes, st.integers(min_value=0), st.integers(min_value=0))
def test_every_leaf_of_the_window_is_proven_as_the_definition_says(size, before, index):
    leaves = leaves_of(size)
    before = before % size
    index = before + index % (size - before)
    window = Window(Edge().extended(leaves[:before]), leaves[before:])

    found = window.inclusion(index)

    assert found == path(index, leaves)
    assert root_from_inclusion(index, size, leaves[index], found) == mth(leaves)


@given(sizes, st.integers(min_value=0), st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_no_other_leaf_place_or_path_leads_to_the_root(size, index, other, flip):
    leaves = leaves_of(size)
    index, other = index % size, other % size
    found = path(index, leaves)
    root = mth(leaves)

    assert root_from_inclusion(index, size, leaf_hash(b"another"), found) != root
    if other != index:
        assert root_from_inclusion(other, size, leaves[index], found) != root
    for place in range(len(found)):
        bent = list(found)
        bent[place] = bytes([bent[place][0] ^ (flip or 1)]) + bent[place][1:]
        assert root_from_inclusion(index, size, leaves[index], bent) != root
    assert root_from_inclusion(index, size, leaves[index], [*found, root]) is None
    if found:
        assert root_from_inclusion(index, size, leaves[index], found[:-1]) != root


@pytest.mark.parametrize("index", [-1, 4])
def test_a_leaf_outside_the_tree_has_no_proof(index):
    window = Window(Edge(), leaves_of(4))

    with pytest.raises(ValueError, match="there is no leaf"):
        window.inclusion(index)
    assert root_from_inclusion(index, 4, leaves_of(1)[0], []) is None


def test_a_forgotten_leaf_cannot_be_proven():
    leaves = leaves_of(6)
    window = Window(Edge().extended(leaves[:4]), leaves[4:])

    with pytest.raises(Incomplete, match="leaf 2 lies before"):
        window.inclusion(1)


# --- Consistency -----------------------------------------------------------------------------------------------------


@given(sizes, st.integers(min_value=0))
def test_growth_is_proven_as_the_definition_says_from_the_edge_alone(size, older):
    leaves = leaves_of(size)
    older = older % size + 1
    window = Window(Edge().extended(leaves[:older]), leaves[older:])

    proof = window.consistency(older)

    assert proof == subproof(older, leaves, True)
    assert is_consistent(older, size, mth(leaves[:older]), mth(leaves), proof)


@given(sizes, st.integers(min_value=0), st.integers(min_value=0))
def test_a_rewritten_past_is_never_consistent(size, older, changed):
    leaves = leaves_of(size)
    older = older % size + 1
    rewritten = list(leaves)
    rewritten[changed % older] = leaf_hash(b"rewritten")

    proof = subproof(older, rewritten, True)

    assert not is_consistent(older, size, mth(leaves[:older]), mth(rewritten), proof)


@given(sizes, st.integers(min_value=0), st.integers(min_value=0))
def test_a_bent_proof_of_growth_is_refused(size, older, place):
    leaves = leaves_of(size)
    older = older % size + 1
    proof = subproof(older, leaves, True)
    assume(proof)
    bent = list(proof)
    bent[place % len(bent)] = leaf_hash(b"bent")

    roots = mth(leaves[:older]), mth(leaves)
    assert not is_consistent(older, size, *roots, bent)
    assert not is_consistent(older, size, *roots, [*proof, proof[0]])
    assert not is_consistent(older, size, *roots, proof[:-1])


@pytest.mark.parametrize("older", [0, 5])
def test_a_log_that_shrank_is_not_consistent(older):
    leaves = leaves_of(4)

    assert not is_consistent(older, 4, mth(leaves), mth(leaves), [])
    with pytest.raises(ValueError, match="no beginning"):
        Window(Edge(), leaves).consistency(older)


def test_an_empty_proof_shows_growth_of_no_tree():
    leaves = leaves_of(5)

    for older in (1, 2, 3, 4):
        assert not is_consistent(older, 5, mth(leaves[:older]), mth(leaves), [])
