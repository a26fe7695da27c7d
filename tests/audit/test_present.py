import pytest

from audit.models import AuditEvent
from audit.present import deed_of, past, sentence

ID = "0199aaaa-0000-7000-8000-00000000abcd"


def entry(
    type_="run.cancel", *, actor="user:ada", because="", on_behalf_of="", subject=f"governance.run:{ID}", **facts
):
    return AuditEvent(type=type_, subject=subject, actor=actor, because=because, on_behalf_of=on_behalf_of, facts=facts)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (entry(label="run #142", because="enough"), "ada cancelled run #142: enough"),
        (
            entry("gate.hold", actor="system:worka", label="files.write"),
            "Worka must wait for people to use files.write",
        ),
        (
            entry("step.start", actor="agent:ernest", on_behalf_of="user:ada", label="step 2"),
            "ernest (for ada) began step 2",
        ),
        (entry("run.receive"), "ada asked for run 00000000abcd"),
        (
            entry("gate.vote", subject=f"governance.gate:{ID}", label="files.write", because="fine"),
            "ada answered files.write: fine",
        ),
        (entry("key.rotate", subject="audit.key:00ff"), "ada rotated key 00ff"),
        (entry("run.cancel", label=7), "ada cancelled run 00000000abcd"),
    ],
)
def test_an_entry_is_a_sentence(event, said):
    assert sentence(event) == said


@pytest.mark.parametrize(
    ("event", "did"),
    [
        ("approve", "approved"), ("submit", "submitted"), ("deny", "denied"), ("withdraw", "withdrew"), ("lose", "lost"),
        ("time_out", "timed out"), ("retry", "retried"), ("expire", "expired"), ("allow", "allowed"), ("plan", "planned"),
        ("reset", "reset"), ("release", "released"), ("skip", "skipped"),
        ("open", "opened"), ("queue", "queued"), ("fail", "failed"), ("cancel", "cancelled"), ("freeze", "froze"),
    ],
)  # fmt: skip
def test_events_have_a_past(event, did):
    assert past(event) == did


@pytest.mark.parametrize(
    ("type_", "label", "said"),
    [
        ("gate.allow", "context.read", "ernest was allowed to read its context"),
        ("gate.deny", "skill.invoke http.get", "ernest was not allowed to call http.get"),
        ("gate.hold", "skill.invoke files.write", "ernest must wait for people to call files.write"),
        ("gate.approve", "skill.invoke files.write", "ernest approved files.write"),
        ("gate.expire", "plan.propose plan", "ernest let the plan expire: nobody answered in time"),
        ("gate.allow", "artifact.write", "ernest was allowed to write something"),
    ],
)
def test_a_decision_says_what_was_asked_in_words(type_, label, said):
    assert sentence(entry(type_, actor="agent:ernest", label=label)) == said


def test_a_vote_says_how_it_went():
    yes, no = (
        entry("gate.vote", label="skill.invoke files.write", verdict=verdict) for verdict in ("approve", "reject")
    )

    assert sentence(yes) == "ada said yes to files.write"
    assert sentence(no) == "ada said no to files.write"


def test_a_sentence_may_name_facts_and_never_fails_without_them():
    told = entry("membership.add", subject="governance.membership:1", user="bob", role="admin")

    assert sentence(told) == "ada added bob as admin"
    assert sentence(entry("membership.add", user=["bob"])) == "ada added somebody as somebody"


def test_braces_in_what_strangers_wrote_are_only_text():
    told = entry("run.cancel", label="{user} {0} {label}", user="bob")

    assert sentence(told) == "ada cancelled {user} {0} {label}"


def test_a_deed_is_cut_where_the_subject_stands():
    assert deed_of(entry("run.fail", label="run 7")) == ("ended ", "run 7", ": it failed")
    assert deed_of(entry("key.rotate", subject="audit.key:00ff")) == ("rotated ", "key 00ff", "")
