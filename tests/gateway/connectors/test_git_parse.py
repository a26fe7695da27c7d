"""The reading of git's output, on anything that git or somebody with a hex editor could have put into it."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.core.canonical import canonical
from gateway.git import parse
from gateway.git.revisions import REVISION

WORD = st.binary(max_size=30).map(lambda raw: raw.replace(b"\x00", b""))
HASH = st.text("0123456789abcdef", min_size=40, max_size=40).map(str.encode)
SIZES = st.none() | st.tuples(*[st.integers(0, 10**6)] * 3)
COMMIT = st.tuples(
    HASH, WORD, WORD, st.tuples(st.integers(0, 10**10), st.sampled_from([b"+0000", b"-0530"])), WORD, SIZES
)
PATH = st.binary(min_size=1, max_size=30).map(lambda raw: raw.replace(b"\x00", b"/"))
FILE = st.tuples(st.none() | st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), st.none() | PATH, PATH)


def written(commits):
    """Write commits as `git log -z --shortstat` does."""
    output = b""
    for commit, author, email, (seconds, offset), subject, sizes in commits:
        output += b"\0".join([commit, author, email, b"%d %s" % (seconds, offset), subject]) + b"\0"
        if sizes is not None:
            output += b"\n %d files changed, %d insertions(+), %d deletions(-)\n" % sizes
    return output


def listed(files):
    """Write files as `--numstat -z` does."""
    output = b""
    for counts, old, new in files:
        added, removed = (b"-", b"-") if counts is None else (b"%d" % counts[0], b"%d" % counts[1])
        names = new + b"\0" if old is None else b"\0" + old + b"\0" + new + b"\0"
        output += added + b"\t" + removed + b"\t" + names
    return output


@given(st.lists(COMMIT, max_size=5))
def test_commits_come_back_whatever_people_call_themselves(commits):
    found = parse.commits(written(commits))

    assert [commit.hash.encode() for commit in found] == [commit[0] for commit in commits]
    assert [(commit.files, commit.added, commit.removed) for commit in found] == [
        commit[5] or (0, 0, 0) for commit in commits
    ]
    assert [commit.author for commit in found] == [parse.text(commit[1], 200) for commit in commits]
    canonical([commit.as_json() for commit in found])


@given(st.lists(COMMIT, min_size=1, max_size=4), st.data())
def test_output_that_was_cut_off_gives_only_whole_commits(commits, data):
    output = written(commits)
    kept = output[: data.draw(st.integers(0, len(output) - 1))]

    found = parse.commits(kept, cut_off=True)

    assert found == parse.commits(output)[: len(found)]
    assert len(found) < len(commits)


@given(st.lists(FILE, max_size=5))
def test_files_come_back_whatever_they_are_called(files):
    found = list(parse.files(listed(files)))

    assert [file["path"] for file in found] == [parse.text(new, 4096) for _, _, new in files]
    assert [file["binary"] for file in found] == [counts is None for counts, _, _ in files]
    canonical(found)


@given(st.lists(FILE, min_size=1, max_size=4), st.data())
def test_a_file_list_that_was_cut_off_gives_only_whole_files(files, data):
    output = listed(files)
    kept = output[: data.draw(st.integers(0, len(output) - 1))]

    found = list(parse.files(kept, cut_off=True))

    assert found == list(parse.files(output))[: len(found)]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_text_is_always_canonical_and_bounded(raw, most):
    text = parse.text(raw, most)

    canonical(text)
    assert len(text) <= most


@given(st.binary(max_size=40))
def test_a_moment_is_always_rfc3339(raw):
    assert datetime.fromisoformat(parse.moment(raw)).tzinfo is not None


@given(st.integers(0, 10**12), st.sampled_from(["+", "-"]), st.integers(0, 99), st.integers(0, 99))
def test_an_odd_offset_never_breaks_a_moment(seconds, sign, hours, minutes):
    assert datetime.fromisoformat(parse.moment(f"{seconds} {sign}{hours:02}{minutes:02}".encode())).tzinfo is not None


@pytest.mark.parametrize("output", [b"nonsense\0a\0b\0c\0d\0", b"f" * 40 + b"\0a\0b\0c\0d\0junk\0"])
def test_what_git_never_writes_is_an_error(output):
    with pytest.raises(ValueError):
        parse.commits(output * 2)


@given(st.binary(max_size=300))
def test_matches_of_any_bytes_are_canonical(raw):
    canonical(parse.matches(b"a" * 40 + b":f\x001:x\n" + raw, 10))


@given(st.text(max_size=40))
def test_a_revision_is_never_an_option_or_a_range(text):
    if REVISION.fullmatch(text):
        assert not text.startswith(("-", "^"))
        assert ".." not in text
        assert not any(character in text for character in "\n\x00 :?*[\\")


@pytest.mark.parametrize("name", ["HEAD", "HEAD~3", "v1.0^{}", "feature/ünï", "main@{1}", "@", "abc123", "a^2"])
def test_ordinary_names_are_revisions(name):
    assert REVISION.fullmatch(name)
