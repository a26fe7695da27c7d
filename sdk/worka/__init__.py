"""Worka for programs: `Client` asks and answers, `Agent` is the governed side; nothing here knows the server's code.

Names are loaded when they are first used: an agent in its sandbox never pays for the client's HTTP library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worka.agent import Agent, Suspended
    from worka.client import Client
    from worka.errors import ApiError, JobOver, Misconfigured, Unreachable, WorkaError

__version__ = "0.1.0"

_WHERE = {
    "Agent": "worka.agent",
    "Suspended": "worka.agent",
    "Client": "worka.client",
    "ApiError": "worka.errors",
    "JobOver": "worka.errors",
    "Misconfigured": "worka.errors",
    "Unreachable": "worka.errors",
    "WorkaError": "worka.errors",
}

__all__ = ["Agent", "ApiError", "Client", "JobOver", "Misconfigured", "Suspended", "Unreachable", "WorkaError"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'worka' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
