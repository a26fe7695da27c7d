"""The git connector on ordinary and odd repositories, compared with what git itself says outside the cage."""

import json

import pytest

from audit.core.codes import Code
from gateway import cage
from gateway.connector import SkillFailed
from gateway.git import repository as repository_module
from tests.gateway.connectors.repositories import Repo

pytestmark = pytest.mark.sandbox


def test_log_tells_each_commit_with_its_figures(repo, git):
    repo.commit("First\nline\n\nAnd a body.", {"a.txt": "1\n2\n"})
    last = repo.commit("Second", {"a.txt": "1\n3\n4\n", "b.txt": "x\n"}, author="Bob Müller")

    answer = git("log")

    assert answer["total"] == 2
    assert answer["truncated"] is False
    second, first = answer["commits"]
    assert second == {
        "hash": last,
        "short": last[:10],
        "author": "Bob Müller",
        "email": "bob@example.org",
        "at": "2023-11-16T00:13:20+02:00",
        "subject": "Second",
        "files": 2,
        "added": 3,
        "removed": 1,
    }
    assert (first["subject"], first["files"], first["added"], first["removed"]) == ("First line", 1, 2, 0)


def test_log_since_a_revision_leaves_that_revision_out(repo, git):
    repo.commit("one")
    repo.run("tag", "v1")
    repo.commit("two")
    repo.commit("three")

    assert [commit["subject"] for commit in git("log", since="v1")["commits"]] == ["three", "two"]
    assert [commit["subject"] for commit in git("log", since="v1", until="HEAD~1")["commits"]] == ["two"]


@pytest.mark.parametrize(
    "since", ["2023-11-16", "2023-11-16T00:00:00Z", "2023-11-16 02:00:00+02:00", "2023-11-16T00:00"]
)
def test_log_since_a_date_starts_at_midnight_utc(repo, git, since):
    repo.clock = 1_700_092_799  # one second before 2023-11-16T00:00:00Z
    repo.commit("the day before")
    repo.clock = 1_700_092_800
    repo.commit("at midnight")

    assert [commit["subject"] for commit in git("log", since=since)["commits"]] == ["at midnight"]


def test_a_tag_that_looks_like_a_date_is_a_revision(repo, git):
    repo.commit("one")
    repo.commit("two")
    repo.run("tag", "2000-01-01", "HEAD~1")

    assert git("log", since="2000-01-01")["total"] == 1


def test_log_counts_all_but_lists_no_more_than_the_limit(repo, git):
    for number in range(5):
        repo.commit(f"number {number}")

    answer = git("log", limit=2)

    assert [commit["subject"] for commit in answer["commits"]] == ["number 4", "number 3"]
    assert (answer["total"], answer["truncated"]) == (5, True)


def test_five_thousand_commits_need_two_git_processes(repo, git, monkeypatch):
    repo.import_commits(5000)
    commands = []
    real = cage.run
    monkeypatch.setattr(
        repository_module,
        "run",
        lambda command, *args, **kwargs: commands.append(command) or real(command, *args, **kwargs),
    )

    answer = git("log", limit=5000)

    listed = answer["commits"]
    assert [command[2] for command in commands] == ["cat-file", "log"]
    assert [commit["hash"] for commit in listed] == repo.run("log", "--format=%H").split()[: len(listed)]
    assert (answer["total"], answer["truncated"]) == (5000, True)
    assert 630 * 1024 < len(json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()) <= 641 * 1024


def test_the_shortlog_of_five_thousand_commits_agrees_with_git(repo, git):
    repo.import_commits(5000)

    answer = git("shortlog")

    told = repo.run("log", "--numstat", "--format=", "main").split()
    assert (answer["commits"], answer["truncated"]) == (5000, False)
    assert answer["people"][0]["added"] == sum(int(told[at]) for at in range(0, len(told), 3))


def test_a_report_of_a_large_repository_fits_into_one_result(repo, git):
    parts = []
    for number in range(1500):
        name, subject = f"{'ü' * 90}{number}", '"' * 300 + str(number)
        parts.append(
            f"commit refs/heads/main\nauthor {name} <{name}> 1700000000 +0000\ncommitter C <c@x> 1700000000 +0000\n"
            f"data {len(subject.encode())}\n{subject}\nM 100644 inline {'d' * 200}/{number}\ndata 2\nx\n\n"
        )
    repo.run("fast-import", "--quiet", stdin="".join(parts).encode())

    answers = [git("log"), git("diffstat", since="2001-01-01"), git("shortlog")]

    assert len(json.dumps(answers, ensure_ascii=False, separators=(",", ":")).encode()) < 2**20 - 4096
    assert all(answer["truncated"] for answer in answers)
    assert (answers[0]["total"], answers[1]["files_changed"], answers[2]["commits"]) == (1500, 1500, 1500)


def test_a_merge_is_listed_and_counts_no_lines(repo, git):
    repo.commit("base", {"a": "1\n"})
    repo.run("checkout", "-q", "-b", "side")
    repo.commit("on the side", {"b": "1\n2\n"})
    repo.run("checkout", "-q", "main")
    repo.run("merge", "-q", "--no-ff", "-m", "Merge the side", "side")

    merge = git("log")["commits"][0]
    shown = git("show")

    assert (merge["subject"], merge["files"], merge["added"]) == ("Merge the side", 0, 0)
    assert len(shown["commit"]["parents"]) == 2
    assert shown["files"] == [{"path": "b", "added": 2, "removed": 0, "binary": False}]


def test_a_repository_without_commits_has_an_empty_history(git):
    assert git("log") == {"commits": [], "total": 0, "truncated": False}
    assert git("shortlog", since="2020-01-01")["people"] == []
    assert git("diffstat", since="2020-01-01")["files_changed"] == 0
    assert git("diff")["patch"] == ""
    for verb, arguments in (("show", {}), ("grep", {"pattern": "x"}), ("log", {"until": "main"})):
        with pytest.raises(SkillFailed) as failed:
            git(verb, **arguments)
        assert (failed.value.code, failed.value.effect) == (Code.NOT_FOUND, "none")


def test_shortlog_adds_up_people_and_days(repo, git):
    repo.commit("one", {"a": "1\n2\n3\n"})
    repo.clock -= 86_400
    repo.commit("two", {"a": "1\n"})
    repo.commit("three", {"b": "1\n"}, author="Bob")

    answer = git("shortlog")

    assert answer["people"] == [
        {"name": "Ada", "email": "ada@example.org", "commits": 2, "added": 3, "removed": 2},
        {"name": "Bob", "email": "bob@example.org", "commits": 1, "added": 1, "removed": 0},
    ]
    assert answer["busiest_days"] == [{"date": "2023-11-15", "commits": 2}, {"date": "2023-11-16", "commits": 1}]
    assert (answer["commits"], answer["first_at"], answer["last_at"]) == (
        3,
        "2023-11-15T00:13:20+02:00",
        "2023-11-16T00:13:20+02:00",
    )


def test_shortlog_follows_the_mailmap(repo, git):
    repo.commit("one", {".mailmap": "Ada Lovelace <ada@example.org>\n"})
    repo.commit("two", author="Adah")
    repo.run("commit", "--amend", "-q", "--allow-empty", "--author=Adah <ada@example.org>", "-m", "two")

    assert [(person["name"], person["commits"]) for person in git("shortlog")["people"]] == [("Ada Lovelace", 2)]


def test_diffstat_knows_renames_and_binary_files(repo, git):
    repo.commit("one", {"old name": "a\nb\nc\nd\n", "gone": "x\n"})
    repo.commit("two", {"old name": None, "new\tname ü": "a\nb\nc\nd\n", "gone": None, "picture": b"\x00\x01\x02"})

    answer = git("diffstat", since="HEAD~1")

    assert answer == {
        "files": [
            {"path": "gone", "added": 0, "removed": 1, "binary": False},
            {"path": "new\tname ü", "added": 0, "removed": 0, "binary": False},
            {"path": "picture", "added": 0, "removed": 0, "binary": True},
        ],
        "files_changed": 3,
        "added": 0,
        "removed": 1,
        "truncated": False,
    }


def test_diffstat_since_a_date_before_the_first_commit_compares_with_nothing(repo, git):
    repo.commit("one", {"a": "1\n"})
    repo.commit("two", {"b": "1\n2\n"})

    assert git("diffstat", since="2001-01-01")["added"] == 3
    assert git("diffstat", since="2023-11-15")["added"] == 2
    assert git("diffstat")["added"] == 2
    assert git("diffstat", until="HEAD~1")["added"] == 1


def test_diffstat_totals_count_what_the_limit_leaves_out(repo, git):
    repo.commit("many", {f"f{number}": "1\n" for number in range(10)})

    answer = git("diffstat", limit=3)

    assert (len(answer["files"]), answer["files_changed"], answer["added"], answer["truncated"]) == (3, 10, 10, True)


def test_diff_shows_the_patch_of_the_named_path_only(repo, git):
    repo.commit("one", {"a": "1\n", "b": "1\n"})
    repo.commit("two", {"a": "2\n", "b": "2\n"})

    patch = git("diff", since="HEAD~1", path="a")["patch"]

    assert "-1\n+2\n" in patch
    assert "b/a" in patch
    assert "b/b" not in patch


def test_a_long_diff_ends_with_a_whole_line_and_says_so(repo, git):
    repo.commit("long", {"a": "0123456789\n" * 40_000})

    answer = git("diff")

    assert answer["truncated"] is True
    assert len(answer["patch"]) <= 256 * 1024
    assert answer["patch"].endswith("+0123456789\n")


def test_show_gives_the_file_as_it_was(repo, git):
    repo.commit("one", {"notes/a.txt": "old ü\n"})
    repo.commit("two", {"notes/a.txt": "new\n"})

    answer = git("show", revision="HEAD~1", path="notes/a.txt")

    assert answer["commit"]["subject"] == "one"
    assert answer["file"] == {
        "path": "notes/a.txt",
        "size": 7,
        "binary": False,
        "truncated": False,
        "text": "old ü\n",
    }


def test_show_bounds_a_large_file_and_withholds_a_binary_one(repo, git):
    repo.commit("big", {"big": "line\n" * 100_000, "bin": b"a\x00b"})

    big, binary = (git("show", path=path)["file"] for path in ("big", "bin"))

    assert (big["size"], big["truncated"], big["text"].endswith("line\n")) == (500_000, True, True)
    assert len(big["text"]) <= 256 * 1024
    assert (binary["size"], binary["binary"], binary["text"]) == (3, True, "")


@pytest.mark.parametrize(("path", "code"), [("nothing", Code.NOT_FOUND), ("folder", Code.BAD_INPUT)])
def test_show_refuses_what_is_not_a_file(repo, git, path, code):
    repo.commit("one", {"folder/a": "1\n"})

    with pytest.raises(SkillFailed) as failed:
        git("show", path=path)

    assert failed.value.code is code


def test_grep_finds_plain_text_and_expressions(repo, git):
    repo.commit("one", {"a b:c.txt": "one.two\nOne two\n", "n\new": "one.two\n", "bin": b"one.two\x00"})

    plain = git("grep", pattern="one.two")["matches"]
    anycase = git("grep", pattern="^one.TWO$", regex=True, ignore_case=True, path="a b:c.txt")["matches"]

    assert plain == [
        {"path": "a b:c.txt", "line": 1, "text": "one.two"},
        {"path": "n\new", "line": 1, "text": "one.two"},
    ]
    assert [match["line"] for match in anycase] == [1, 2]
    assert git("grep", pattern="three") == {"matches": [], "truncated": False}


def test_grep_stops_at_its_limit(repo, git):
    repo.commit("one", {"a": "x\n" * 50})

    answer = git("grep", pattern="x", limit=7)

    assert (len(answer["matches"]), answer["truncated"]) == (7, True)


def test_a_pattern_that_is_no_expression_is_refused_in_words(repo, git):
    repo.commit("one", {"a": "x\n"})

    with pytest.raises(SkillFailed, match="could not read") as failed:
        git("grep", pattern="(", regex=True)

    assert failed.value.effect == "none"


def test_text_that_is_not_utf8_becomes_safe(repo, git):
    repo.commit("base", {"a": "1\n"})
    repo.raw_commit(
        [b"author M\xfcller <m\xff@x> 1700000000 +0100", b"committer C <c@x> 1700000000 +0100"], b"Gr\xfc\xdfe\n"
    )

    commit = git("log")["commits"][0]

    assert (commit["author"], commit["email"], commit["subject"]) == ("M\ufffdller", "m\ufffd@x", "Gr\ufffd\ufffde")


def test_a_message_in_another_encoding_is_read_in_it(repo, git):
    repo.commit("base", {"a": "1\n"})
    repo.raw_commit(
        [b"author M\xfcller <m@x> 1700000000 +0100", b"committer C <c@x> 1700000000 +0100", b"encoding ISO-8859-1"],
        b"Gr\xfc\xdfe\n",
    )

    commit = git("log")["commits"][0]

    assert (commit["author"], commit["subject"]) == ("Müller", "Grüße")


@pytest.mark.parametrize(
    "date", [b"99999999999999999 +0000", b"1700000000 +9999", b"1700000000 -0030", b"0 +0000", b"garbage"]
)
def test_an_impossible_date_is_still_a_date(repo, git, date):
    repo.commit("base", {"a": "1\n"})
    repo.raw_commit([b"author A <a@x> " + date, b"committer C <c@x> 1700000000 +0100"], b"odd\n")

    assert git("log")["commits"][0]["subject"] == "odd"
    assert git("shortlog")["commits"] == 2


def test_a_field_cannot_pretend_to_be_another(repo, git):
    fake = "\n 7 files changed, 9 insertions(+)\nc0ffee"
    repo.commit("base", {"a": "1\n"})
    repo.raw_commit([b"author A <a@x> 1 +0000", b"committer C <c@x> 1700000000 +0100"], fake.encode())

    commit = git("log")["commits"][0]

    assert (commit["files"], commit["added"]) == (0, 0)


def test_a_subject_of_a_megabyte_is_cut(repo, git):
    repo.commit("base", {"a": "1\n"})
    repo.raw_commit([b"author A <a@x> 1700000000 +0000", b"committer C <c@x> 1700000000 +0100"], b"x" * 2**20)

    assert len(git("log")["commits"][0]["subject"]) == 500


def test_a_bare_repository_and_one_with_sha256_are_read_too(roots, git):
    source = Repo(roots / "source", "--object-format=sha256")
    source.commit("one", {"a": "1\n"})
    source.run("clone", "-q", "--bare", str(source.path), str(roots / "bare.git"))

    answer = git("log", repository=str(roots / "bare.git"))

    assert len(answer["commits"][0]["hash"]) == 64
    assert git("diffstat", repository=str(roots / "bare.git"), since="2001-01-01")["added"] == 1


def test_a_shallow_clone_is_read_to_its_edge(repo, roots, git):
    for number in range(3):
        repo.commit(f"number {number}", {"a": f"{number}\n"})
    repo.run("clone", "-q", "--depth=2", f"file://{repo.path}", str(roots / "shallow"))

    assert git("log", repository=str(roots / "shallow"))["total"] == 2
    assert git("diffstat", repository=str(roots / "shallow"), until="HEAD~1")["added"] == 1


def test_a_replaced_commit_is_told_as_it_is(repo, git):
    repo.commit("truth", {"a": "1\n"})
    honest = repo.run("rev-parse", "HEAD")
    lie = repo.raw_commit([b"author A <a@x> 1700000000 +0000", b"committer C <c@x> 1700000000 +0000"], b"lie\n")
    repo.run("update-ref", "HEAD", honest)
    repo.run("replace", honest, lie)

    assert [commit["subject"] for commit in git("log")["commits"]] == ["truth"]


def test_only_the_skills_that_are_named_exist(git):
    with pytest.raises(SkillFailed) as failed:
        git("push")

    assert failed.value.code is Code.BAD_INPUT


def test_a_passed_deadline_is_a_failure_without_effect(repo, git):
    repo.commit("one")

    with pytest.raises(SkillFailed, match="in time") as failed:
        git("log", seconds=0)

    assert failed.value.effect == "none"
