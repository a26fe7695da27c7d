"""Hari plans. A playbook that matches needs no model; what no playbook reads, Hari says no to, and how to ask instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.agents.matching import Surroundings
from runtime.agents.playbook import BadPlaybook, Playbook, compile_playbook
from worka.agent import Agent
from worka.contract import Context, Planning, Proposal
from worka.errors import ApiError, WorkaError

LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan to hand in."""

    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """Why there is no plan, for the person who asked."""

    reason: str


def work(agent: Agent) -> None:
    """Plan the run of this job: propose a playbook's plan, or say why there is none. A freeze is waited out by leaving."""
    try:
        _work(agent)
    except ApiError as refusal:
        if refusal.code != "frozen":
            raise
        # It does not count as an attempt: planning begins again when the freeze is over.
        agent.log(f"planning stops for a freeze: {refusal.detail}")


def _work(agent: Agent) -> None:
    context = agent.context()
    decided = planned(context)
    if isinstance(decided, NotPlanned) and context.model is not None and context.planning is not None:
        # Nobody has reviewed a way to do this: the model finds one, and policy and people look at it.
        from runtime.agents.planning import plan_with_model

        plan_with_model(agent, context, context.planning, context.model)
        return
    if isinstance(decided, NotPlanned):
        # The sentence that people read goes on after it, or ends by itself.
        agent.no_plan(decided.reason.rstrip("."))
        return
    name = decided.plan["playbook"]["name"]
    agent.log(f"the request is read by the playbook {name}")
    proposal = agent.propose(decided.plan)
    if proposal.state == "refused":
        # The same playbook would only say the same again.
        agent.no_plan(refused_reason(name, proposal))


def planned(context: Context) -> Planned | NotPlanned:
    """Decide what to propose for a request; pure, so that a request and a context always give the same plan."""
    planning = context.planning
    if planning is None:
        raise WorkaError("this job is no planning job")
    around = Surroundings(planning.repositories)
    books = usable_playbooks(planning)
    troubles = []
    for book in books:
        reading = book.read(context.request, around)
        if reading is None:
            continue
        if not reading.trouble:
            if planning.refused:
                return NotPlanned(refused_reason(book.name, Proposal("refused", "", planning.refused)))
            return Planned(book.plan_for(reading.values))
        troubles.append(f"The playbook {book.name} reads this request, but {reading.trouble}.")
    return NotPlanned(_bounded(" ".join(troubles) if troubles else unmatched_reason(books)))


def usable_playbooks(planning: Planning) -> list[Playbook]:
    """Return the playbooks that can be read; a broken one must not keep the others from working."""
    books = []
    for offer in planning.playbooks:
        try:
            books.append(compile_playbook(offer.text, digest=offer.digest))
        except BadPlaybook:
            continue
    return books


def unmatched_reason(books: list[Playbook]) -> str:
    """Say that nothing matches, and show one sentence of each playbook that would."""
    if not books:
        return "No playbook is installed and no model is configured, so nothing can be planned."
    ways = "; ".join(f"“{book.sentences[0].pattern}” ({book.name})" for book in books)
    return f"No playbook reads this request, and no model is configured. It can be asked like this: {ways}."


def refused_reason(name: str, proposal: Proposal) -> str:
    """Say that a playbook's plan was refused, with every fault."""
    faults = "; ".join(map(str, proposal.faults)) or proposal.reason or "no reason was given"
    return _bounded(f"The plan of the playbook {name} was refused: {faults}")


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
