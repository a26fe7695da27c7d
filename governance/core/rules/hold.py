from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from governance.core.facts import INVOKE, Request
from governance.core.quorum import Threshold
from governance.core.rule import Kind, Rule, parameter
from governance.core.verdicts import DEFAULT_EXPIRES, Require


@dataclass(frozen=True, kw_only=True)
class Hold(Rule):
    """Ask people before a skill is called: `quorum` people of the group `ask`, or several `thresholds`; expiry rejects."""

    speaks_on: ClassVar[frozenset[str]] = frozenset({INVOKE})
    is_certain: ClassVar[bool] = True

    ask: str = parameter(Kind.GROUP, default="")
    quorum: int = parameter(Kind.COUNT, default=1)
    thresholds: tuple[Threshold, ...] = parameter(Kind.THRESHOLDS, default=())
    expires: timedelta = parameter(Kind.DURATION, default=DEFAULT_EXPIRES)  # noqa: RUF009

    def judge(self, request: Request) -> Require:
        return Require(self.because or "a rule asks people first", self.asks, self.expires)

    @property
    def asks(self) -> tuple[Threshold, ...]:
        return self.thresholds or (Threshold(self.ask, self.quorum, 1),)

    def contradictions(self) -> Iterable[tuple[str, str]]:
        if not self.ask and not self.thresholds:
            yield "ask", "nobody is asked: give `ask` (with `quorum`) or `thresholds`"
        if self.thresholds and (self.ask or self.quorum != 1):
            yield "thresholds", "give either `ask` (with `quorum`) or `thresholds`, not both"
