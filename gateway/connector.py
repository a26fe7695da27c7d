"""The contract of a connector: a tool whose skills agents may ask for through the gateway.

A connector is called outside any transaction, by one thread per call, after the gateway has decided, stored the intent
and validated the arguments against the skill's input schema. It never learns who asked or why it was allowed. It may be
called again with the same `invocation_id` only if the skill is idempotent, and then the answer is the same and the
effect happens once. Its answer is JSON that has a canonical form (no NUL, no lone surrogates, integers within 2^53−1).
Whatever goes wrong, it raises `SkillFailed` and nothing else. Tests: tests/contracts/test_connectors.py.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from uuid import UUID

from audit.core.canonical import digest
from audit.core.codes import Code
from audit.core.plugins import discover
from governance.core.egress import NOWHERE, Egress

Json = dict[str, Any]
Label = Literal["reads_private", "untrusted_output", "sends_outside"]


@dataclass(frozen=True, slots=True)
class SkillSpec:
    """One verb of a connector, with everything that policy and people need to know of it.

    `name` is `connector.verb`. The schemas are JSON Schema 2020-12. `labels` always count; what a call has read in
    addition comes back in `Outcome.taint`. `lock_key` is a template such as `repo:{args.repo}`, empty for no lock.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    side_effect: Literal["read_only", "write", "external", "destructive"]
    labels: frozenset[Label] = frozenset()
    idempotent: bool = False
    lock_key: str = ""
    timeout_s: int = 60

    @property
    def verb(self) -> str:
        return self.name.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Service:
    """What a connector goes out to: a workspace has to connect it first.

    Its skills are those whose names begin with its own. `settings_schema` is that of a connection's settings, in which
    `{{secret:name}}` may stand wherever text does, and `example` such settings. Where it `is_one_place` a connection leads
    nowhere but to `base_url`. With `takes_account` the input of a call may say in `connection` as whom it goes out.
    """

    name: str
    base_url: str
    settings_schema: Mapping[str, Any]
    example: Mapping[str, Any] = field(default_factory=dict)
    is_one_place: bool = False
    takes_account: bool = True


@dataclass(frozen=True, slots=True)
class UsedConnection:
    """A connection as a connector gets it for one call, its secrets filled in. `repr` does not show them."""

    service: str
    account: str
    base_url: str
    access: str
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call is given beside its arguments: no caller, no policy, no credentials of others.

    `artifacts` opens an artifact that the arguments name (`{"$artifact": {"id": …}}`). `taint` is what the step has read so
    far; what is stored keeps it. `egress` is what policy lets it reach outside, all through gateway.egress. `deadline` is a
    moment of `time.monotonic()`, in seconds. `connection` is there for skills of a connector that has a service.
    """

    workspace_id: UUID
    invocation_id: UUID
    artifacts: Callable[[str], bytes]
    deadline: float
    settings: Any
    taint: frozenset[str] = frozenset()
    connection: UsedConnection | None = None
    egress: Egress = NOWHERE

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a skill gives back: JSON of its output schema, and the labels of what it has read beyond the skill's own."""

    output: Json
    taint: frozenset[str] = field(default_factory=frozenset)


class SkillFailed(Exception):
    """A skill did not do what it was asked; the only exception that leaves a connector.

    `effect` says whether the outside may have changed: `none` or `maybe`. `code` is `bad_input` or `not_found` where the
    same call will always fail, `unavailable` where the deployment lacks something, `unauthorized` where the other side does
    not know the credentials (an older version of a secret is tried then), else `skill_failed`; `recovery` is the way out, for
    people; `retry_after_s` says when the other side wants to hear of it again, where it said so.
    """

    def __init__(
        self,
        message: str,
        *,
        effect: Literal["none", "maybe"] = "none",
        code: Code = Code.SKILL_FAILED,
        recovery: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.effect = effect
        self.code = code
        self.recovery = recovery


class Connector(ABC):
    """One tool. It keeps no state between calls and is made anew for each. With a `service`, it is called with a connection.

    `has_accepted_skills`: it performs skills that are rows only, made by people, beside or instead of `skills`.
    """

    skills: ClassVar[tuple[SkillSpec, ...]]
    service: ClassVar[Service | None] = None
    has_accepted_skills: ClassVar[bool] = False

    @abstractmethod
    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        """Perform the skill `<this connector>.<verb>` and return what came of it, or raise `SkillFailed`."""

    @classmethod
    def services(cls) -> tuple[Service, ...]:
        """Return every service that its skills go out to; with rows of its own, what they are now."""
        return (cls.service,) if cls.service else ()

    @classmethod
    def service_for(cls, verb: str) -> Service | None:
        """Return the service that one of its skills goes out to, or None where it needs no connection."""
        return cls.service

    def out_of_bounds(self, verb: str, arguments: Json, egress: Egress) -> str:
        """Say what of a call may not be reached, or nothing; asked when it is decided, and goes nowhere to find out."""
        return ""


def all_connectors() -> dict[str, type[Connector]]:
    """Return every connector by its name."""
    return discover("gateway.connectors", Connector)  # type: ignore[type-abstract]


def all_skills() -> dict[str, SkillSpec]:
    """Return every skill of every connector by its full name."""
    return {spec.name: spec for connector in all_connectors().values() for spec in connector.skills}


def all_services() -> dict[str, Service]:
    """Return every service that a workspace can connect, by its name."""
    return {service.name: service for each in all_connectors().values() for service in each.services()}


def service_of(skill: str) -> Service | None:
    """Return the service that a skill goes out to, None where it needs no connection or its connector is not here."""
    name, _, verb = skill.partition(".")
    connector = all_connectors().get(name)
    return connector.service_for(verb) if connector else None


def out_of_bounds(skill: str, arguments: Mapping[str, Any], egress: Egress) -> str:
    """Say what of a skill's call policy lets nobody reach, or nothing."""
    name, _, verb = skill.partition(".")
    connector = all_connectors().get(name)
    return connector().out_of_bounds(verb, dict(arguments), egress) if connector else ""


def digest_of(spec: SkillSpec) -> str:
    """Return the SHA-256, in hex, over everything that a person or a rule has relied on; consent is bound to it."""
    return digest(
        {
            "name": spec.name,
            "description": spec.description,
            "input_schema": dict(spec.input_schema),
            "output_schema": dict(spec.output_schema),
            "side_effect": spec.side_effect,
            "labels": sorted(spec.labels),
            "idempotent": spec.idempotent,
            "lock_key": spec.lock_key,
            "timeout_s": spec.timeout_s,
        }
    )
