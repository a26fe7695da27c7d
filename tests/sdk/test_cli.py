"""The command line, from arguments to exit codes."""

import json
import re

import httpx2
import pytest

from tests.sdk.api_double import DIGEST, GATE_ID, KEY, RUN_ID, a_model_call, a_run, an_approval, sent
from tests.sdk.command_line import api, worka
from tests.sdk.door_double import problem

__all__ = ["api", "worka"]


# Runs


def test_a_run_is_started(worka, api):
    done = worka("runs", "start", "Report on the repository /srv/orders since v1", "--key", "k1")

    assert done.stdout == "run #142 is received\n"
    assert api.created["k1"]["_body"] == {"request": "Report on the repository /srv/orders since v1"}


def test_runs_are_listed_as_a_table_and_as_json(worka, api):
    api.runs = [a_run(1), a_run(2, state="succeeded"), a_run(3)]

    table = worka("runs", "list").stdout
    assert "#1" in table
    assert "succeeded" in table
    assert "Report on the repository /srv/orders since v2.3.0" in table
    assert [run["number"] for run in json.loads(worka("runs", "list", "--json", "--limit", "2").stdout)] == [1, 2]
    assert [run["number"] for run in json.loads(worka("runs", "list", "--json", "--state", "succeeded").stdout)] == [2]
    api.runs = []
    assert worka("runs", "list").stdout == "There are no runs.\n"


def test_a_run_is_shown_with_its_steps_and_outcome(worka, api):
    api.runs = [
        a_run(
            outcome={"output": {"text": "2 commits.\nThe report is in reports/x.md"}, "summary": "2 commits"},
            state="succeeded",
        )
    ]
    api.steps = [
        {
            "id": "s1",
            "sequence": 1,
            "state": "succeeded",
            "agent": "ernest",
            "objective": "Read the history",
            "attempt": 1,
        }
    ]

    shown = worka("runs", "show", "#142").stdout

    for part in (
        "Run #142",
        "succeeded",
        "Read the history",
        "ernest",
        "The report is in reports/x.md",
        "Waits for operators",
    ):
        assert part in shown
    assert json.loads(worka("runs", "show", RUN_ID, "--json").stdout)["steps"][0]["id"] == "s1"


def test_why_is_one_sentence(worka):
    assert worka("runs", "why", "142").stdout == "Waits for operators to answer files.write.\n"
    assert json.loads(worka("runs", "why", "142", "--json").stdout) == {
        "code": "awaiting_approval", "sentence": "Waits for operators to answer files.write.",
    }  # fmt: skip


def test_the_story_of_a_run_is_told_from_its_beginning(worka, api):
    api.events = [
        {"type": f"run.{name}", "at": "2026-11-21T08:00:00Z", "actor": "system"}
        for name in ("succeed", "release", "plan", "receive")
    ]

    told = worka("runs", "events", "142").stdout

    assert re.findall(r"run\.\w+", told) == ["run.receive", "run.plan", "run.release", "run.succeed"]
    assert [event["type"] for event in json.loads(worka("runs", "events", "142", "--json").stdout)][0] == "run.receive"


def test_what_a_run_spent_is_told_call_by_call_and_added_up(worka, api):
    waiting = a_model_call(3, "running", cost_usd="0.000000", input_tokens=0, output_tokens=0)
    lost = a_model_call(2, "lost", model="claude-\x1b[31mred\u202e", error={"code": "lost", "message": "gone"})
    api.model_calls = [waiting, lost, a_model_call(1)]

    shown = worka("runs", "spend", "142").stdout
    told = json.loads(worka("runs", "spend", "#142", "--json").stdout)

    assert shown.index("succeeded") < shown.index("claude-\N{REPLACEMENT CHARACTER}[31mred") < shown.index("running")
    assert "3 calls, 2,702 tokens in, 40 out, $0.020600, and at most $0.050000 for what is being asked" in shown
    assert "\x1b[31m" not in shown and "\u202e" not in shown
    assert {name: told[name] for name in ("calls", "tokens_in", "tokens_out", "cost_usd", "reserved_usd")} == {
        "calls": 3, "tokens_in": 2702, "tokens_out": 40, "cost_usd": "0.020600", "reserved_usd": "0.050000",
    }  # fmt: skip
    assert [call["id"] for call in told["items"]] == [a_model_call(number)["id"] for number in (1, 2, 3)]
    api.model_calls = []
    assert worka("runs", "spend", "142").stdout == "The run asked no model.\n"
    assert json.loads(worka("runs", "spend", "142", "--json").stdout)["calls"] == 0


def test_cancelling_needs_a_reason(worka, api):
    worka("runs", "cancel", "142", code=2)
    assert ("POST", f"/v1/runs/{RUN_ID}/cancel") not in api.requests

    assert worka("runs", "cancel", "142", "--because", "too early").stdout == "run #142 is cancelled\n"
    assert api.bodies[-1] == {"because": "too early"}


def test_watching_shows_each_change_and_ends_with_the_run(worka, api):
    api.later = [
        a_run(why={"code": "running", "sentence": "Ernest works step 1."}),
        a_run(why={"code": "running", "sentence": "Ernest works step 1."}),
        a_run(
            state="succeeded",
            outcome={"output": {"text": "All done."}},
            why={"code": "finished", "sentence": "It succeeded."},
        ),
    ]
    api.streams = [sent(1, run="another") + sent(2), sent(3)]

    told = worka("runs", "watch", "142").stdout

    assert told == "#142 running: Ernest works step 1.\n#142 succeeded: It succeeded.\nAll done.\n"


def test_watching_a_run_that_is_refused_exits_with_one(worka, api):
    api.runs = [a_run(state="refused", why={"code": "finished", "sentence": "bob rejected it."})]

    assert "bob rejected it." in worka("runs", "watch", "142", code=1).stdout
    assert json.loads(worka("runs", "watch", "142", "--json", code=1).stdout.split("\n{")[0])["state"] == "refused"


def test_watching_works_where_the_stream_is_forbidden(worka, api):
    api.before = lambda request: problem(403, "missing_scope") if request.url.path.endswith("/stream") else None
    api.later = [a_run(), a_run(state="succeeded", why={"code": "finished", "sentence": "It succeeded."})]

    assert "It succeeded." in worka("runs", "watch", RUN_ID).stdout


def test_starting_can_stay_until_the_end(worka, api):
    api.runs = [a_run(state="succeeded", why={"code": "finished", "sentence": "It succeeded."})]

    assert "#142 succeeded: It succeeded." in worka("runs", "start", "Report", "--watch").stdout


# Approvals


def test_what_waits_is_listed(worka, api):
    listed = worka("approvals", "list").stdout

    assert GATE_ID in listed
    assert "files.write" in listed
    assert json.loads(worka("approvals", "list", "--json").stdout)[0]["payload_digest"] == DIGEST
    api.approvals = []
    assert worka("approvals", "list").stdout == "Nothing waits for you.\n"


@pytest.mark.parametrize("name", [GATE_ID, "142", "#142"])
def test_an_approval_is_shown_whole(worka, name):
    shown = worka("approvals", "show", name).stdout

    for part in (
        "files.write",
        "reports/orders-since-v2.3.0.md",
        "# Report on orders",
        DIGEST,
        "strangers",
        "operators: 1 of 1 approvals missing",
        "ernest",
    ):
        assert part in shown


def test_approving_shows_the_payload_first_and_binds_to_its_digest(worka, api):
    done = worka("approvals", "approve", "142", "--because", "figures fit", answer="y\n")

    assert done.stdout.index("reports/orders-since-v2.3.0.md") < done.stdout.index("Approve exactly this?")
    assert api.votes == [{"verdict": "approve", "because": "figures fit", "payload_digest": DIGEST}]
    assert "your vote is in: the approval is approved" in done.stdout


@pytest.mark.parametrize("answer", ["n\n", "", "maybe\n"])
def test_nothing_is_approved_without_a_yes(worka, api, answer):
    worka("approvals", "approve", "142", "--because", "x", answer=answer, code=1)

    assert api.votes == []


@pytest.mark.parametrize("options", [[], ["--because", ""], ["--because", "   "]])
def test_nothing_is_approved_without_a_reason(worka, api, options):
    worka("approvals", "approve", "142", "--yes", *options, code=2)

    assert api.votes == []


def test_a_digest_that_was_seen_elsewhere_must_still_be_that_of_the_payload(worka, api):
    done = worka("approvals", "approve", GATE_ID, "--because", "x", "--digest", "0" * 64, code=1)
    assert "payload_changed" in done.stderr
    assert api.votes == []

    worka("approvals", "approve", GATE_ID, "--because", "x", "--digest", DIGEST)
    assert len(api.votes) == 1


def test_nobody_answers_what_they_may_not_see(worka, api):
    api.approvals = [an_approval(payload=None)]

    assert "not_asked" in worka("approvals", "approve", "142", "--because", "x", "--yes", code=1).stderr
    assert api.votes == []


def test_rejecting_is_a_vote_too(worka, api):
    done = worka("approvals", "reject", "142", "--because", "wrong tag", "--yes", "--json")

    assert json.loads(done.stdout)["state"] == "rejected"
    assert "reports/orders-since-v2.3.0.md" in done.stderr
    assert api.votes[0]["verdict"] == "reject"


def test_a_run_with_two_questions_must_be_answered_by_id(worka, api):
    api.approvals = [an_approval(), an_approval(id=RUN_ID)]

    assert "more than one approval" in worka("approvals", "approve", "142", "--because", "x", "--yes", code=1).stderr
    api.approvals = []
    assert "nothing of run #142" in worka("approvals", "show", "142", code=1).stderr


# Strangers' text


def test_nothing_that_strangers_wrote_acts_on_the_terminal(worka, api):
    nasty = "\x1b]0;owned\x07\x1b[31m\u202egnp[bold]x[/bold]\r\nnext [link=http://evil]"
    api.runs = [a_run(request=nasty, why={"code": "x", "sentence": nasty}, outcome={"output": {"text": nasty}})]
    api.approvals = [
        an_approval(
            reason=nasty,
            subject=nasty,
            artifacts=[{"name": nasty, "sha256": "x", "content": nasty}],
            payload={"a": nasty},
        )
    ]
    api.steps = [{"id": "s", "sequence": 1, "state": nasty, "agent": nasty, "objective": nasty}]
    api.events = [{"type": nasty, "at": nasty, "actor": nasty, "because": nasty, "sentence": nasty}]

    for arguments in (
        ["runs", "list"], ["runs", "show", "142"], ["runs", "why", "142"], ["runs", "events", "142"],
        ["approvals", "list"], ["approvals", "show", GATE_ID], ["runs", "show", "142", "--json"],
    ):  # fmt: skip
        printed = worka(*arguments).stdout
        assert not set(printed) & {"\x1b", "\x07", "\u202e", "\r"}
        if "--json" not in arguments and arguments != ["approvals", "list"]:
            assert "[bold]x[/bold]" in printed


def test_a_refusal_of_strangers_words_is_only_text(worka, api):
    api.before = lambda request: problem(403, "own_request", "no\x1b[2J [red]x[/red]", recovery="ask\x07 bob")

    done = worka("runs", "list", code=1)

    assert "[red]x[/red]" in done.stderr
    assert not set(done.stderr) & {"\x1b", "\x07"}


# Exit codes and configuration


def test_exit_codes_tell_refused_from_unreachable_from_misused(worka, api, monkeypatch):
    api.before = lambda request: problem(
        403, "missing_scope", "runs:read is missing", required="runs:read", recovery="ask an admin"
    )
    refused = worka("runs", "list", code=1)
    assert "runs:read is missing (missing_scope)\nask an admin" in refused.stderr
    assert json.loads(worka("runs", "list", "--json", code=1).stderr)["required"] == "runs:read"

    api.before = lambda request: httpx2.ConnectError("refused")
    assert "cannot be reached" in worka("runs", "list", code=3).stderr

    worka("runs", "nonsense", code=2)
    worka("runs", "list", "--limit", "0", code=2)
    monkeypatch.delenv("WORKA_API_KEY")
    assert "--as requester" in worka("runs", "list", code=2).stderr


def test_the_server_and_the_key_come_from_the_environment(worka, api, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKA_URL", "https://worka.example")
    worka("runs", "list")
    worka("runs", "list", "--url", "http://localhost:9")
    monkeypatch.delenv("WORKA_API_KEY")
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("WORKA_API_KEY_FILE", str(tmp_path / "key"))
    worka("runs", "list")

    assert api.clients == [("https://worka.example", KEY), ("http://localhost:9", KEY), ("https://worka.example", KEY)]


def test_the_laptops_people_are_found_by_name(worka, api, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKA_HOME", str(tmp_path))
    people = [{"username": "requester", "password": "x", "role": "member", "api_key": KEY}]
    (tmp_path / "credentials.json").write_text(json.dumps({"url": "http://127.0.0.1:8123", "people": people}))

    worka("runs", "list", "--as", "requester")

    assert api.clients == [("http://127.0.0.1:8123", KEY)]
    assert "there are: requester" in worka("runs", "list", "--as", "bob", code=2).stderr


@pytest.mark.parametrize("content", [None, "{", "[]", '{"people": null}'])
def test_credentials_that_cannot_be_read_are_named(worka, monkeypatch, tmp_path, content):
    monkeypatch.setenv("WORKA_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / "credentials.json").write_text(content)

    assert worka("runs", "list", "--as", "requester", code=2).stderr


def test_there_is_no_option_that_would_show_the_key_to_other_users(worka):
    for command in (["runs", "list"], ["runs", "start"], ["approvals", "approve"]):
        assert "--api-key" not in worka(*command, "--help").stdout
