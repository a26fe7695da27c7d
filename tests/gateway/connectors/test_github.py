"""GitHub through its documented REST API, over real HTTP, and everything that it may refuse."""

import time
from types import SimpleNamespace
from uuid import uuid4

import jsonschema
import pytest

from audit.core.canonical import canonical
from audit.core.codes import Code
from gateway import outgoing
from gateway.connector import CallContext, SkillFailed, UsedConnection
from gateway.connectors.github import Github
from tests.wire.github import TOKEN, file_of, github_stub, issue

SPECS = {spec.verb: spec for spec in Github.skills}


@pytest.fixture
def github():
    with github_stub() as stub:
        yield stub


@pytest.fixture
def call(github):
    """Call a skill on acme/orders; the answer must be of the skill's schema and have a canonical form."""

    def call(verb, *, seconds=10, url="", token=TOKEN, **arguments):
        connection = UsedConnection("github", "acme", url or github.url, "write", {"token": token})
        context = CallContext(
            uuid4(), uuid4(), lambda _: b"", time.monotonic() + seconds, SimpleNamespace(), connection=connection
        )
        outcome = Github().call(verb, {"repo": "acme/orders", **arguments}, context)
        canonical(outcome.output)
        jsonschema.validate(outcome.output, SPECS[verb].output_schema)
        return outcome.output

    return call


def failure(call, verb, **arguments):
    with pytest.raises(SkillFailed) as failed:
        call(verb, **arguments)
    assert TOKEN not in str(failed.value) + failed.value.recovery
    return failed.value


def test_lists_are_read_page_by_page_at_our_own_address_up_to_the_limit(call, github):
    found = call("list_issues", limit=110, labels=["bug", "slow"])

    assert [each["number"] for each in found["issues"]] == list(range(2, 222, 2)), "pull requests are no issues"
    assert found["truncated"] is True
    assert [path.partition("page=100")[2] for _, path in github.asked] == ["&page=1", "&page=2", "&page=3"]
    assert all(
        path.startswith("/repos/acme/orders/issues?") and "labels=bug%2Cslow" in path for _, path in github.asked
    )
    assert call("list_issues", limit=200)["truncated"] is False

    files = call("list_pull_request_files", number=7, limit=130)
    assert (len(files["files"]), files["truncated"], files["files"][129]["path"]) == (130, False, "src/129.py")
    few = call("list_pull_requests", limit=2, base="main")
    assert ([each["number"] for each in few["pull_requests"]], few["truncated"]) == ([1, 2], True)


def test_what_is_read_is_told_whole_and_cut_where_it_is_long(call, github):
    assert call("get_issue", number=5) | {"labels": []} == {
        "number": 5, "title": "Issue 5", "state": "open", "author": "ada", "labels": [], "comments": 2, "body": "It is broken.",
        "created_at": "2026-11-01T08:00:00Z", "updated_at": "2026-11-02T08:00:00Z", "closed_at": None,
        "url": "https://github.com/acme/orders/issues/5", "is_pull_request": False, "truncated": False,
    }  # fmt: skip
    pull = call("get_pull_request", number=3)
    assert (pull["author"], pull["head"], pull["body"], pull["changed_files"]) == ("ghost", "ada:fix", "", 130)
    github.answers.append((200, {}, issue(1, body="x" * 300_000)))
    long = call("get_issue", number=1)
    assert (len(long["body"]), long["truncated"]) == (256 * 1024, True)


def test_files_are_text_or_said_to_be_none(call, github):
    assert call("get_file", path="docs/a b.md", ref="v1")["text"] == "Grüße\n"
    assert github.asked[-1] == ("GET", "/repos/acme/orders/contents/docs/a%20b.md?ref=v1")
    assert call("get_file", path="logo.png") | {"sha": ""} == {
        "path": "logo.png", "sha": "", "size": 6, "binary": True, "text": "", "truncated": False,
    }  # fmt: skip

    for path, code in {
        "docs": "bad_input",
        "huge.bin": "too_large",
        "nothing": "not_found",
        "a/../b": "bad_input",
    }.items():
        assert failure(call, "get_file", path=path).code == code
    github.answers.append((200, {}, file_of("x", b"") | {"content": "%%%="}))
    assert failure(call, "get_file", path="x").effect == "none"


def test_what_is_written_is_written_once_with_exactly_what_was_given(call, github):
    made = call("create_issue", title="Broken", body="It is.", labels=["bug"])
    said = call("comment_on_issue", number=5, body="Me too.")

    assert made == {"number": 1001, "url": "https://github.com/acme/orders/issues/1001"}
    assert said["url"].endswith("/issues/5#1")
    assert github.created == [{"title": "Broken", "body": "It is.", "labels": ["bug"]}, {"body": "Me too."}]


LIMITS = [
    (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{soon}"}, "API rate limit exceeded", 20, 30),
    (403, {"Retry-After": "7"}, "You have exceeded a secondary rate limit", 7, 7),
    (429, {"Retry-After": "3"}, "slow down", 3, 3),
    (429, {"X-RateLimit-Remaining": "5"}, "slow down", 60, 60),
    (403, {}, "You have exceeded a secondary rate limit.", 60, 60),
]


def test_a_limit_says_when_to_come_back_and_that_nothing_was_done(call, github):
    for status, headers, message, least, most in LIMITS:
        told = {name: value.format(soon=int(time.time()) + 30) for name, value in headers.items()}
        github.answers.append((status, told, {"message": message}))

        failed = failure(call, "create_issue", title="x")

        assert (failed.effect, failed.code) == ("none", "skill_failed")
        assert least <= failed.retry_after_s <= most and "seconds" in failed.recovery
    assert github.created == []


def test_every_documented_refusal_is_named(call, github):
    unknown = failure(call, "get_issue", number=301)
    assert (unknown.code, unknown.effect) == ("not_found", "none") and "404" in str(unknown)
    assert failure(call, "get_issue", number=1, token="another-token").code == Code.UNAUTHORIZED

    github.answers.append((403, {"X-RateLimit-Remaining": "10"}, {"message": "Resource not accessible by integration"}))
    assert "(403): Resource not accessible" in str(failure(call, "create_issue", title="x"))
    missing = failure(call, "create_issue", title="  ")
    assert missing.code == "bad_input" and "Validation Failed; Issue title missing_field" in str(missing)
    for status, code in {410: "not_found", 301: "not_found", 415: "skill_failed"}.items():
        github.answers.append((status, {"Location": "http://127.0.0.1:1/"}, {"message": "no"}))
        assert (failed := failure(call, "get_issue", number=1)).code == code and failed.effect == "none"


def test_a_write_of_unknown_outcome_is_said_to_be_one(call, github):
    endings = [
        (502, {}, b"<html>"),
        (500, {}, {"message": "oops"}),
        (200, {}, ...),
        (201, {}, b"no json"),
        (201, {}, []),
    ]
    for ending in endings:
        github.answers.append(ending)
        assert failure(call, "create_issue", title="x").effect == "maybe", ending
    for ending in [*endings[:4], (200, {}, {"number": 1})]:
        github.answers.append(ending)
        assert failure(call, "get_issue", number=1).effect == "none", ending

    # It did not go out at all.
    assert failure(call, "create_issue", title="x", url="http://127.0.0.1:1").effect == "none"
    assert failure(call, "create_issue", title="x", seconds=-1).effect == "none"
    assert failure(call, "create_issue", title="x", token="with\nnewline").effect == "none"
    assert github.created == []


def test_an_answer_that_has_no_end_is_cut_off(call, github, monkeypatch):
    monkeypatch.setattr("gateway.outgoing.MOST_BYTES", 1000)
    monkeypatch.setattr("gateway.outgoing.send.__kwdefaults__", {**outgoing.send.__kwdefaults__, "most_bytes": 1000})
    github.answers.append((200, {}, b"[" + b" " * 5000))

    assert "more than 1,000 bytes" in str(failure(call, "list_issues"))


def test_the_proxy_of_the_environment_is_never_asked(call, github, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert call("get_issue", number=5)["number"] == 5
