from pathlib import Path

import pytest

from audit.core.machine import Machine
from audit.models import AuditEvent
from audit.present import DEEDS
from gateway.core.mcp import TOOL
from gateway.core.states import CONNECTION, GRANT, SECRET_VERSION
from governance.core import states
from governance.core.explain import CODES
from governance.core.states import GATE, INVOCATION, MANIFEST, MODEL_CALL, PLAN, RUN, STEP
from governance.models import Burn, Gate, Run, SideEffect, Vote
from runtime.core.jobs import JOB
from worka_site.portal import icons
from worka_site.portal.looks import LOOKS, WHY, look, look_of
from worka_site.portal.sentences import DRAWN, said

ELSEWHERE = [JOB, SECRET_VERSION, GRANT, CONNECTION, TOOL]
MACHINES = [RUN, PLAN, STEP, GATE, INVOCATION, MANIFEST, MODEL_CALL, *ELSEWHERE]
TONES = {"wait", "work", "done", "fail", "odd", "idle"}


def test_no_machine_of_governance_is_forgotten_here() -> None:
    assert {id(each) for each in vars(states).values() if isinstance(each, Machine)} == {
        id(each) for each in MACHINES if each not in ELSEWHERE
    }


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.subject)
def test_every_state_of_every_machine_has_a_look_and_no_look_is_left_over(machine: Machine) -> None:
    assert set(LOOKS[machine.subject]) == {str(state) for state in machine.states}


@pytest.mark.parametrize(
    ("kind", "choices"), [("burn", Burn.Kind), ("side_effect", SideEffect), ("verdict", Vote.Verdict)]
)
def test_every_choice_that_is_shown_like_a_state_has_a_look(kind: str, choices: type) -> None:
    assert set(LOOKS[kind]) == set(choices.values)


def test_every_effect_of_a_decision_has_a_look() -> None:
    assert set(LOOKS["effect"]) == {"allow", "deny", "hold"}


@pytest.mark.parametrize("kind", LOOKS)
def test_a_look_is_a_known_tone_an_existing_icon_and_a_word(kind: str) -> None:
    for each in LOOKS[kind].values():
        assert each.tone in TONES
        assert icons.drawn(each.icon).startswith("<")
        assert each.word[0].isupper()


def test_a_state_that_nobody_drew_is_not_made_up() -> None:
    with pytest.raises(KeyError):
        look("run", "dreaming")


def test_a_run_is_seen_by_why_it_waits_until_it_is_over() -> None:
    assert look_of(Run(state="running"), "awaiting_approval") == WHY["awaiting_approval"]
    assert look_of(Run(state="running"), "stuck").word == "Stuck"
    assert look_of(Run(state="failed"), "stuck").word == "Failed"
    assert look_of(Run(state="running"), "a code of tomorrow").word == "Running"
    assert look_of(Gate(state="waiting"), "stuck").word == "Waiting"


def test_every_move_and_every_birth_of_every_machine_is_said_in_a_sentence() -> None:
    moves = {
        f"{machine.subject}.{event}" for machine in MACHINES for event in [*machine.events, *machine.births.values()]
    }

    assert moves <= set(DEEDS)


def test_every_sentence_of_the_ledger_has_a_tone_and_an_icon() -> None:
    assert set(DRAWN) == set(DEEDS)
    for tone, icon in DRAWN.values():
        assert tone in TONES
        assert icons.drawn(icon)


def test_every_icon_is_one_quiet_drawing_without_script_or_style() -> None:
    folder = Path(__file__).parents[2] / "static" / "worka" / "icons"
    for path in folder.glob("*.svg"):
        inside = icons.drawn(path.stem)
        assert not any(word in inside.lower() for word in ("<script", "style", "href", " on"))


@pytest.mark.parametrize("name", ["nothing", "../mark", "", "HELD"])
def test_an_icon_that_does_not_exist_is_an_error(name: str) -> None:
    with pytest.raises(LookupError):
        icons.drawn(name)


def test_an_entry_is_said_with_who_did_it_and_to_what() -> None:
    entry = said(
        AuditEvent(
            type="gate.vote",
            actor="user:ada",
            subject="governance.gate:1",
            facts={"label": "files.write {x}", "verdict": "reject"},
            because="odd",
        )
    )

    assert (entry.actor, entry.sentence, entry.because, entry.tone) == (
        "ada",
        "said no to files.write {x}",
        "odd",
        "fail",
    )


def test_an_entry_of_a_type_of_tomorrow_is_still_a_sentence() -> None:
    entry = said(
        AuditEvent(
            type="grant.revoke", actor="system:worka", subject="gateway.grant:7", facts={"label": "the key of ada"}
        )
    )

    assert (entry.actor, entry.sentence, entry.icon) == ("Worka", "revoked the key of ada", "ledger")


def test_every_reason_to_wait_that_explain_can_give_has_a_look() -> None:
    assert set(CODES) - set(WHY) == {"finished"}
