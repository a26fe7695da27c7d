"""Why runs are where they are, for the lists and the pages of the console."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from governance.core.explain import Why, explain
from governance.core.snapshot import RunFact
from governance.core.states import StepState
from governance.models import Run
from runtime.queries import snapshots
from runtime.tasks import capacity_lacking
from worka_site.portal.links import to_run
from worka_site.portal.shapes import RunLine


@dataclass(frozen=True, slots=True)
class Told:
    """A run's snapshot and what it says."""

    fact: RunFact
    why: Why


def told(runs: Sequence[Run], now: datetime) -> dict[UUID, Told]:
    """Explain runs (read with their workspaces) in a fixed number of queries."""
    if not runs:
        return {}
    return {UUID(fact.id): Told(fact, explain(fact, now)) for fact in snapshots(runs, no_capacity=capacity_lacking())}


def run_lines(runs: Sequence[Run], now: datetime) -> list[RunLine]:
    """Return runs as lists show them."""
    known = told(runs, now)
    return [_line(run, known[run.pk], now) for run in runs]


def _line(run: Run, said: Told, now: datetime) -> RunLine:
    steps = said.fact.steps
    done = sum(step.state == StepState.SUCCEEDED for step in steps)
    lasted = ((run.finished_at or now) - run.created_at).total_seconds()
    return RunLine(run, to_run(run.pk), said.why.code, said.why.sentence, done, len(steps), lasted)
