"""The contract of a runtime backend. tests/contracts/test_backends.py holds every backend, and the fake, to it.

A backend runs jobs somewhere. It keeps no rows and asks nobody: what is wanted comes in as a `JobSpec`, what is seen goes
out as a `Seen`. A job is known by its name alone, so that a server that was killed and started again finds its jobs. Every
verb may be called again with the same name, from several processes at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from audit.core.plugins import discover
from runtime.core.jobs import JobSpec, Seen


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What a deployment tells its backend; the caller builds it from the settings.

    `jobs_dir` holds what is known of each job and `runtime_dir` the published copies of the agents' code; both are the
    backend's own. `door_socket` is where the agent's door listens, alone in its folder: the folder is given to the jobs.
    `packages` maps a dotted import name to the folder of its source; `requirements` is the hashed list of what else is
    installed for agents. `python` is the agents' interpreter, chosen by the backend when empty. `options` are the
    backend's own settings, by name.
    """

    jobs_dir: Path
    runtime_dir: Path
    door_socket: Path
    packages: Mapping[str, Path] = field(default_factory=dict)
    requirements: Path | None = None
    python: str = ""
    allow_unsandboxed: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


class Strength(StrEnum):
    """How well a limit holds: `hard` by the kernel, `soft` by a watcher that may come a moment late, `none` not at all."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LimitInForce:
    """One line for doctor and the health page: what is limited, how, and how well."""

    what: str
    how: str
    strength: Strength


class SubmitFailed(Exception):
    """The job could not be started now; nothing of it runs, and submitting again is right."""


class NoCapacity(SubmitFailed):
    """There is no room for another job now."""


class Backend(ABC):
    """Runs jobs somewhere. Every verb may be called again with the same name."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: BackendSettings) -> "Backend":
        """Build the backend cheaply, without touching disk or network."""

    def unavailable(self) -> str:
        """Say in one sentence why no job can run here and how to mend it, or "" when jobs can run."""
        return ""

    def prepare(self) -> None:  # noqa: B027 - a backend with nothing to prepare has nothing to do
        """Make ready what all jobs share; slow the first time, and done by `submit` where it was not done before."""

    @abstractmethod
    def limits_in_force(self) -> Sequence[LimitInForce]:
        """List how each limit is held on this machine."""

    @abstractmethod
    def submit(self, spec: JobSpec) -> None:
        """Start the job; when one of that name was started before, do nothing. After it returns the job is seen.

        Raises `SubmitFailed`, or `NoCapacity` when there is no room for it now.
        """

    @abstractmethod
    def observe(self, name: str) -> Seen:
        """Say what the job is doing, cheaply. A name never submitted is `unknown`, not an error."""

    @abstractmethod
    def kill(self, name: str) -> None:
        """Stop the job, all of its processes, without waiting for the end. What is not running is left as it is."""

    @abstractmethod
    def logs(self, name: str) -> str:
        """Return what the job has printed so far, its middle left out when it printed more than it may."""

    @abstractmethod
    def forget(self, name: str) -> None:
        """Remove every trace, running or not. Called only after the outcome is in the ledger."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """List the jobs that have left any trace, running or not; the orphan sweep compares them with the rows."""

    def changed(self) -> bool:
        """Say whether a job may have started or ended since the last call; True where that cannot be told cheaply."""
        return True


def all_backends() -> dict[str, type[Backend]]:
    """Return the backends of this installation by name."""
    return discover("runtime.backends", Backend)  # type: ignore[type-abstract]
