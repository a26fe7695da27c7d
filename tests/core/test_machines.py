"""Every machine × state × event. Machines are found, not listed: a new one is covered when it exists."""

import importlib
import pkgutil
from enum import StrEnum
from itertools import product

import pytest

from audit.core.machine import Machine, TransitionRefused

CORES = ["audit.core", "governance.core", "runtime.core", "gateway.core"]


def found_machines():
    found = {}
    for core in CORES:
        try:
            package = importlib.import_module(core)
        except ModuleNotFoundError as error:
            if error.name == core:  # an app without a core; nothing inside one may be missing
                continue
            raise
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{core}.{info.name}")
            found |= {value.subject: value for value in vars(module).values() if isinstance(value, Machine)}
    return found


MACHINES = found_machines()
by_subject = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
PAIRS = [
    (machine, state, event) for machine in MACHINES.values() for state, event in product(machine.states, machine.events)
]


def test_all_the_machines_of_the_domain_are_there():
    assert {"run", "plan", "step", "gate", "invocation", "job", "manifest"} <= MACHINES.keys()


@pytest.mark.parametrize(("machine", "state", "event"), PAIRS, ids=lambda value: getattr(value, "subject", str(value)))
def test_a_machine_moves_by_its_table_and_refuses_the_rest(machine, state, event):
    if (state, event) in machine.table:
        assert machine.after(state, event) is machine.table[state, event]
        assert machine.after(str(state), event) is machine.table[state, event]  # as the data base gives it
        assert event in machine.events_from(state)
        return
    with pytest.raises(TransitionRefused) as refused:
        machine.after(state, event)
    assert refused.value.code == "transition_refused"
    assert machine.subject in str(refused.value)
    assert str(state) in str(refused.value)
    assert event not in machine.events_from(state)


@by_subject
def test_every_state_can_be_reached(machine):
    reached, edge = set(machine.births), list(machine.births)
    while edge:
        state = edge.pop()
        for event in machine.events_from(state):
            if (after := machine.after(state, event)) not in reached:
                reached.add(after)
                edge.append(after)

    assert reached == set(machine.states)


@by_subject
def test_from_every_state_an_end_can_be_reached(machine):
    for state in machine.states:
        reached, edge = {state}, [state]
        while edge:
            here = edge.pop()
            for event in machine.events_from(here):
                if (after := machine.after(here, event)) not in reached:
                    reached.add(after)
                    edge.append(after)
        assert reached & machine.final_states, f"a {machine.subject} that is {state} can never end"


@by_subject
def test_final_states_are_final(machine):
    assert machine.final_states
    for state, event in product(machine.final_states, machine.events):
        with pytest.raises(TransitionRefused):
            machine.after(state, event)


@by_subject
def test_states_and_events_belong_to_one_enum_and_fit_their_columns(machine):
    assert all(isinstance(state, StrEnum) and type(state) is type(machine.initial) for state, _ in machine.table)
    assert all(type(state) is type(machine.initial) for state in [*machine.births, *machine.table.values()])
    assert all(event.isidentifier() and len(f"{machine.subject}.{event}") <= 80 for event in machine.events)


@by_subject
def test_a_birth_is_recorded_only_in_a_state_that_rows_are_born_in(machine):
    for state in machine.states:
        if state in machine.births:
            assert machine.birth(state) == machine.births[state]
        else:
            with pytest.raises(TransitionRefused, match="cannot be born"):
                machine.birth(state)


@by_subject
def test_the_diagram_shows_every_move_once(machine):
    lines = machine.diagram().splitlines()

    assert lines[0] == "stateDiagram-v2"
    assert sorted(line.strip() for line in lines[1:]) == sorted(
        [f"[*] --> {state}: {event}" for state, event in machine.births.items()]
        + [f"{before} --> {after}: {event}" for (before, event), after in machine.table.items()]
        + [f"{state} --> [*]" for state in machine.final_states]
    )
