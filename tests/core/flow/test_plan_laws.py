import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.core.plan import ParsedPlan, parse_plan
from governance.core.references import references
from tests.core.flow.plans import CATALOGUE, FREE, GOOD, a_direct_step, a_plan, a_plan_step, good_plan

LAW = settings(max_examples=60, deadline=None)
REFS = [f"s{number}" for number in range(6)]


@st.composite
def any_plans(draw):
    """Plans with any dependencies and references at all, good and bad."""
    steps = []
    for ref in draw(st.lists(st.sampled_from(REFS), min_size=1, max_size=6)):
        needs = draw(st.lists(st.sampled_from([*REFS, "nowhere"]), max_size=3))
        taken = draw(st.sampled_from([*REFS, "self"]))
        steps.append(a_direct_step(ref, {"x": {"$from": taken, "pointer": "/c0"}}, {}, needs=tuple(needs)))
        if draw(st.booleans()):
            steps[-1] = a_plan_step(ref, *needs)
    return a_plan(*steps)


@given(any_plans())
@LAW
def test_a_plan_is_either_whole_or_not_at_all(body):
    plan = parse_plan(body, FREE)

    if plan.faults:
        assert plan == ParsedPlan(faults=plan.faults)
        return
    seen = set()
    for step in plan.steps:
        assert set(step.depends_on) <= seen
        assert {found.step for found in references(step.instruction)[0]} <= seen
        seen.add(step.step_ref)
    assert len(seen) == len(body["steps"])


@given(any_plans())
@LAW
def test_the_same_plan_has_the_same_hash_and_its_normal_form_too(body):
    plan = parse_plan(body, FREE)

    assert parse_plan(copy.deepcopy(body), FREE) == plan
    if not plan.faults:
        assert parse_plan(plan.as_json(), FREE).plan_hash == plan.plan_hash


@given(any_plans())
@LAW
def test_every_fault_points_at_something_that_is_there(body):
    for fault in parse_plan(body, FREE).faults:
        here = body
        for token in fault.path.split("/")[1:]:
            here = here[int(token)] if isinstance(here, list) else here[token]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*GOOD["steps"][0], "kind", "calls", "$from", "pointer", "data", "output"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from(["steps", "instruction", "step"]))
@LAW
def test_any_json_is_answered_with_faults_or_a_plan(one, other, where):
    body = good_plan()
    match where:
        case "steps":
            body["steps"] = [one, other]
        case "instruction":
            body["steps"][0]["instruction"] = one
            body["steps"][2]["instruction"]["calls"][0]["input"] = other
        case _:
            body["steps"][1] = one

    assert isinstance(parse_plan(body, CATALOGUE), ParsedPlan)
    assert isinstance(parse_plan(one, CATALOGUE), ParsedPlan)


@pytest.mark.parametrize(
    "body",
    [
        a_plan(*(a_plan_step(f"s{number}") for number in range(50_000))),
        a_plan(*(a_plan_step(f"s{n}", *(f"s{other}" for other in range(200))) for n in range(200))),
        a_plan(a_plan_step("a", *(["a"] * 100_000))),
        a_plan(a_plan_step("a", *(f"x{number}" for number in range(50_000)))),
        a_plan(*(a_direct_step(f"s{n}", *([{"$from": "x"}] * 50), needs=(f"s{n - 1}",)) for n in range(1, 190))),
    ],
    ids=["steps", "dependencies", "repeats", "unknown", "references"],
)
def test_a_hostile_plan_gets_a_bounded_answer(body):
    assert 0 < len(parse_plan(body, CATALOGUE).faults) <= 200
