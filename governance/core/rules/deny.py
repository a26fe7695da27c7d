from dataclasses import dataclass
from typing import ClassVar

from governance.core.facts import Request
from governance.core.rule import Rule
from governance.core.verdicts import Deny as Denied


@dataclass(frozen=True, kw_only=True)
class Deny(Rule):
    """Refuse what fits. A refusal beats every hold, on either layer."""

    is_certain: ClassVar[bool] = True

    def judge(self, request: Request) -> Denied:
        return Denied(self.because or "a rule forbids it")
