"""A connector in memory, held to the contract of the real ones by tests/contracts/test_connectors.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from audit.core.codes import Code
from gateway.connector import CallContext, Connector, Json, Outcome, SkillFailed, SkillSpec

TEXT: Json = {"type": "string"}


def _closed(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@dataclass
class World:
    """What the fake acts upon. `performed` has an entry for each effect, in order; `failing` fails a verb's next calls."""

    performed: list[tuple[str, Json]] = field(default_factory=list)
    called: list[tuple[str, UUID]] = field(default_factory=list)
    answers: dict[UUID, Json] = field(default_factory=dict)
    failing: dict[str, list[SkillFailed]] = field(default_factory=dict)
    taint: frozenset[str] = frozenset()
    before: Callable[[str, Json], None] = lambda verb, arguments: None
    """Called in the middle of each call, before its effect: a place to meet, to wait or to die."""

    def fail(self, verb: str, *failures: SkillFailed) -> None:
        self.failing.setdefault(verb, []).extend(failures)


class FakeConnector(Connector):
    """Look things up, note things down (idempotent) and send things off (not); all of it only in `world`."""

    skills = (
        SkillSpec(
            name="fake.look",
            description="Look something up.",
            input_schema=_closed({"what": TEXT}),
            output_schema=_closed({"found": TEXT}),
            side_effect="read_only",
            labels=frozenset({"reads_private"}),
            idempotent=True,
            timeout_s=5,
        ),
        SkillSpec(
            name="fake.note",
            description="Note something down; the same call notes it once.",
            input_schema=_closed({"what": TEXT}),
            output_schema=_closed({"noted": TEXT}),
            side_effect="write",
            idempotent=True,
            lock_key="note:{args.what}",
            timeout_s=5,
        ),
        SkillSpec(
            name="fake.send",
            description="Send something away, each time it is called.",
            input_schema=_closed({"what": TEXT}),
            output_schema=_closed({"sent": TEXT}),
            side_effect="external",
            labels=frozenset({"sends_outside"}),
            timeout_s=5,
        ),
    )
    world = World()

    @classmethod
    def fresh(cls) -> World:
        """Begin a new world and return it."""
        cls.world = World()
        return cls.world

    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        """Perform a skill in the fake's world."""
        world = self.world
        world.called.append((verb, context.invocation_id))
        what = arguments.get("what")
        if verb not in {"look", "note", "send"} or not isinstance(what, str):
            raise SkillFailed("the fake cannot do that", code=Code.BAD_INPUT)
        world.before(verb, arguments)
        if world.failing.get(verb):
            raise world.failing[verb].pop(0)
        match verb:
            case "look":
                return Outcome({"found": what}, world.taint)
            case "note":
                if context.invocation_id not in world.answers:
                    world.performed.append((verb, arguments))
                    world.answers[context.invocation_id] = {"noted": what}
                return Outcome(world.answers[context.invocation_id])
            case _:
                world.performed.append((verb, arguments))
                return Outcome({"sent": what})
