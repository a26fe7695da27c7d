"""Stand-ins for what is outside, held to the same contract tests as the real ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from runtime.backend import Backend, BackendSettings, LimitInForce, NoCapacity, Strength, SubmitFailed
from runtime.core.jobs import NAME, Ended, JobSpec, Phase, Seen


class FakeBackend(Backend):
    """A backend in memory. A test plays the agent, and ends the job with `finish` or `end`."""

    def __init__(self) -> None:
        self.jobs: dict[str, Seen] = {}
        self.specs: dict[str, JobSpec] = {}
        self.printed: dict[str, str] = {}
        self.killed: list[str] = []
        self.submitted: list[str] = []
        self.why_not = ""
        self.is_full = False
        self._changed = True

    @classmethod
    def from_settings(cls, settings: BackendSettings) -> Self:
        return cls()

    def unavailable(self) -> str:
        return self.why_not

    def limits_in_force(self) -> Sequence[LimitInForce]:
        return (LimitInForce("everything", "not at all: nothing runs", Strength.NONE),)

    def submit(self, spec: JobSpec) -> None:
        if spec.name in self.jobs:
            return
        if self.why_not:
            raise SubmitFailed(self.why_not)
        if self.is_full:
            raise NoCapacity("there is no room for another job")
        self.specs[spec.name] = spec
        self.submitted.append(spec.name)
        self._see(spec.name, Seen(Phase.RUNNING, started_at=datetime.now(UTC)))

    def observe(self, name: str) -> Seen:
        return self.jobs.get(_checked(name), Seen(Phase.UNKNOWN))

    def kill(self, name: str) -> None:
        if self.observe(name).phase is Phase.RUNNING:
            self.killed.append(name)
            self.end(name, Ended.KILLED, detail="it was told to stop")

    def logs(self, name: str) -> str:
        return self.printed.get(_checked(name), "")

    def forget(self, name: str) -> None:
        for kept in (self.jobs, self.specs, self.printed):
            kept.pop(_checked(name), None)
        self._changed = True

    def names(self) -> list[str]:
        return sorted(self.jobs)

    def changed(self) -> bool:
        changed, self._changed = self._changed, False
        return changed

    def finish(self, name: str, exit_code: int = 0, printed: str = "") -> None:
        """Let the job exit by itself."""
        self.printed[name] = self.printed.get(name, "") + printed
        self.end(name, Ended.EXITED, exit_code, f"it exited with code {exit_code}")

    def end(self, name: str, ended: Ended, exit_code: int | None = None, detail: str = "") -> None:
        """Let the job end in any way."""
        seen = replace(self.jobs[name], phase=Phase.ENDED, ended=ended, exit_code=exit_code, detail=detail)
        self._see(name, replace(seen, ended_at=datetime.now(UTC)))

    def vanish(self, name: str) -> None:
        """Let the job be gone as if it had never been: evicted, or deleted behind our back."""
        del self.jobs[name]
        self._changed = True

    def _see(self, name: str, seen: Seen) -> None:
        self.jobs[name] = seen
        self._changed = True


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no name of a job")
    return name
