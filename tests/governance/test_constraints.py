"""What may be there only once is held by the data base itself, behind the locks of the actions."""

from collections.abc import Iterable

import pytest

from governance.core.states import ManifestState, PlanState
from runtime.core.jobs import JOB, OPEN_JOB
from tests.governance.by_hand import again, refused, rows

pytestmark = pytest.mark.django_db

LIVE_PLAN = {PlanState.PROPOSED, PlanState.HELD, PlanState.ACCEPTED}


def cases(constraint: str, row: str, states: Iterable[str] = ("",), **changes: object) -> list[object]:
    return [
        pytest.param(
            constraint, row, {**changes, **({"state": state} if state else {})}, id=f"{constraint}-{row}-{state}"
        )
        for state in sorted(states)
    ]


@pytest.fixture
def there():
    return rows()


@pytest.mark.parametrize(
    ("constraint", "row", "changes"),
    [
        *cases("one_live_job_per_step", "agentjob", OPEN_JOB, name="worka-a-2", attempt=2),
        *cases("one_live_planning_job_per_run", "planning", OPEN_JOB, name="worka-plan-2", attempt=2),
        *cases("one_live_plan_per_run", "plan", LIVE_PLAN, version=2),
        *cases("plan_versions_are_unique", "plan", {PlanState.REJECTED}),
        *cases("one_active_manifest", "policymanifest", version=2),
        *cases("one_active_manifest", "platform", version=2),
        *cases("manifest_versions_are_unique", "policymanifest", {ManifestState.DRAFT}),
        *cases("manifest_versions_are_unique", "platform", {ManifestState.DRAFT}),
        *cases("one_vote_per_person_and_gate", "vote", verdict="reject"),
        *cases("one_consent_per_gate_and_call", "consent"),
        *cases("one_invocation_per_step_and_call", "skillinvocation", {"cancelled"}),
        *cases("run_numbers_are_unique", "run", {"cancelled"}),
    ],
)
def test_a_second_one_is_refused_by_name(there, constraint, row, changes):
    first = getattr(there, row)
    before = type(first).objects.count()

    said = refused(again, first, **changes)

    assert f'unique constraint "{constraint}"' in said
    assert type(first).objects.count() == before


@pytest.mark.parametrize(
    ("row", "states", "changes"),
    [
        ("agentjob", set(JOB.states) - set(OPEN_JOB), {"name": "worka-a-2"}),
        ("planning", set(JOB.states) - set(OPEN_JOB), {"name": "worka-plan-2"}),
        ("plan", set(PlanState) - LIVE_PLAN, {"version": 2}),
        ("policymanifest", set(ManifestState) - {ManifestState.ACTIVE}, {"version": 2}),
        ("platform", set(ManifestState) - {ManifestState.ACTIVE}, {"version": 2}),
    ],
)
def test_any_number_may_be_over_beside_the_one_that_is_live(there, row, states, changes):
    assert states
    for number, state in enumerate(sorted(states)):
        unique = {
            field: f"{value}-{number}" if isinstance(value, str) else value + number for field, value in changes.items()
        }
        again(getattr(there, row), **unique, state=state)

    assert type(getattr(there, row)).objects.filter(state__in=states).count() == len(states)
