"""Limits of plans, runs and steps, and the strictest of two layers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from typing import Any


@dataclass(frozen=True, slots=True)
class Range:
    """From which to which value a manifest may set a limit; `larger_is_stricter` for those that make work wait."""

    least: int | Decimal | timedelta
    most: int | Decimal | timedelta
    larger_is_stricter: bool = False

    @property
    def loosest(self) -> int | Decimal | timedelta:
        return self.least if self.larger_is_stricter else self.most


def _limit(default: Any, least: Any, most: Any, **more: Any) -> Any:
    return field(default=default, metadata={"range": Range(least, most, **more)})


_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How large a plan may be, and how many tries the planner has."""

    steps: int = _limit(20, 1, 200)
    depth: int = _limit(8, 1, 100)
    attempts: int = _limit(3, 1, 20)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a run may spend: time in which it is not waiting for people, its whole age, USD, model tokens, skill calls."""

    wall_clock: timedelta = _limit(timedelta(hours=2), _SECOND, timedelta(days=30))  # noqa: RUF009
    max_age: timedelta = _limit(timedelta(days=7), _SECOND, timedelta(days=365))  # noqa: RUF009
    usd: Decimal = _limit(Decimal(10), Decimal(0), Decimal(100_000))  # noqa: RUF009
    tokens: int = _limit(2_000_000, 0, 1_000_000_000)
    invocations: int = _limit(200, 0, 100_000)


@dataclass(frozen=True, slots=True)
class StepLimits:
    """How long one attempt may take, how many attempts there are, and the first pause between two of them."""

    timeout: timedelta = _limit(timedelta(minutes=15), _SECOND, timedelta(days=1))  # noqa: RUF009
    attempts: int = _limit(3, 1, 20)
    backoff: timedelta = _limit(timedelta(seconds=10), timedelta(0), timedelta(hours=1), larger_is_stricter=True)  # noqa: RUF009


Part = PlanLimits | RunLimits | StepLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a manifest; what it leaves out has its default."""

    plan: PlanLimits = field(default_factory=PlanLimits)
    run: RunLimits = field(default_factory=RunLimits)
    step: StepLimits = field(default_factory=StepLimits)

    def as_json(self) -> dict[str, dict[str, int | str]]:
        """Return durations as seconds and money as text."""
        return {name: {key: _plain(getattr(part, key)) for key in RANGES[name]} for name, part in self._parts().items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, Any]], layer: str = "workspace") -> "Limits":
        """Read what `as_json` wrote; what is left out is the layer's default."""
        base = defaults_of(layer)
        return cls(
            **{
                name: replace(
                    part, **{key: _typed(RANGES[name][key], given) for key, given in value.get(name, {}).items()}
                )
                for name, part in base._parts().items()
            }
        )

    def _parts(self) -> dict[str, Any]:
        return {"plan": self.plan, "run": self.run, "step": self.step}


RANGES: dict[str, dict[str, Range]] = {
    name: {each.name: each.metadata["range"] for each in fields(part)}
    for name, part in (("plan", PlanLimits), ("run", RunLimits), ("step", StepLimits))
}


def defaults_of(layer: str) -> Limits:
    """Return what holds where a manifest sets no limit: careful values in a workspace, no ceiling on the platform."""
    if layer == "workspace":
        return Limits()
    loosest = {name: {key: each.loosest for key, each in ranges.items()} for name, ranges in RANGES.items()}
    return Limits(PlanLimits(**loosest["plan"]), RunLimits(**loosest["run"]), StepLimits(**loosest["step"]))  # type: ignore[arg-type]


def strictest(limits: Iterable[Limits]) -> Limits:
    """Take every limit from whoever sets it strictest; of nothing, the defaults of a workspace."""
    return reduce(_stricter, limits, defaults_of("platform")) if (limits := tuple(limits)) else Limits()


def _stricter(one: Limits, other: Limits) -> Limits:
    picked = {
        name: type(part)(
            **{
                key: (max if each.larger_is_stricter else min)(getattr(part, key), getattr(getattr(other, name), key))
                for key, each in RANGES[name].items()
            }
        )
        for name, part in one._parts().items()
    }
    return Limits(**picked)


def _plain(value: int | Decimal | timedelta) -> int | str:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    return f"{value:f}" if isinstance(value, Decimal) else value


def _typed(each: Range, given: Any) -> Any:
    if isinstance(each.least, timedelta):
        return timedelta(seconds=given)
    return Decimal(given) if isinstance(each.least, Decimal) else given
