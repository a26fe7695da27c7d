"""Plans that are made to cost: at the 1 MiB that a proposal may have, a look at one stays short and small."""

import json
import time
import tracemalloc

import pytest

from audit.core.canonical import parse
from governance.core.plan import parse_plan
from governance.core.planning import MOST_FAULTS
from tests.core.flow.plans import FREE, a_plan

MIB = 2**20
LONG = "k" * 500_000


def _step(ref="a", **more):
    return {"step_ref": ref, "agent_name": "ernest", "objective": "o", "instruction": {"kind": "direct"}, **more}


def _render(data):
    return a_plan(_step(instruction={"kind": "render", "template": "t", "data": data}))


def _call(value, skill="http.get"):
    calls = [{"call_id": "c", "skill": skill, "input": value}]
    return a_plan(_step(instruction={"kind": "direct", "calls": calls}, allowed_skills=[skill]))


def _many(item, size=MIB - 2000):
    return [item] * (size // len(json.dumps(item) + ","))


HOSTILE = {
    "bad references": _render({"x": _many({"$from": 1})}),
    "bad references below a long name": _render({LONG: _many({"$from": 1}, 500_000)}),
    "good references to nothing": _render({LONG: _many({"$from": "b", "pointer": ""}, 500_000)}),
    "references in a call": _call({LONG: _many({"$from": "b", "pointer": ""}, 500_000)}, "git.log"),
    "one endless pointer": _render({"x": {"$from": "b", "pointer": "/a" * 500_000}}),
    "one endless non-pointer": _render({"x": {"$from": "b", "pointer": "~" * 1_000_000}}),
    "one endless artifact": _render({"x": {"$artifact": {"step": "b" * 500_000, "name": "n" * 500_000}}}),
    "numbers for skills": a_plan(_step(allowed_skills=[0] * 510_000)),
    "skills that nobody has": a_plan(_step(allowed_skills=_many("x"))),
    "needs that nobody has": a_plan(_step(depends_on=_many("x"))),
    "unknown fields": a_plan(_step(**{f"f{place}": 0 for place in range(90_000)})),
    "unknown fields of a call": _call({f"f{place}": 0 for place in range(90_000)}, "git.log"),
    "an endless name": a_plan(_step(**{"k" * 1_000_000: 0})),
    "endless texts": a_plan(_step(ref="r" * 300_000, agent_name="a" * 300_000, objective="o" * 300_000)),
    "circles": a_plan(
        *[_step(f"s{n}" + "x" * 58, depends_on=[f"s{m}" + "x" * 58 for m in range(75)]) for n in range(199)]
    ),
    "numbers for steps": {"summary": "s", "steps": [0] * 510_000},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_plan_is_refused_in_little_time_and_memory(name):
    raw = json.dumps(HOSTILE[name], separators=(",", ":")).encode()
    assert 200_000 < len(raw) <= MIB
    body = parse(raw)
    began = time.process_time()
    parsed = parse_plan(body, FREE)
    took = time.process_time() - began

    tracemalloc.start()
    try:
        parse_plan(body, FREE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 0 < len(parsed.faults) <= MOST_FAULTS
    assert len(json.dumps([fault.as_json() for fault in parsed.faults])) < 200 * 1024
    assert all(len(fault.path) <= 400 and len(fault.message) <= 400 for fault in parsed.faults)
    assert peak < 64 * MIB
    assert took < 2
