"""The contract of a model provider: whoever answers the Messages API for this deployment.

A provider is called in the event loop of the door, outside any transaction, after the gateway has decided and reserved. It
never learns which agent asked, and nobody but it ever has its key. It sends the body as it is and gives the answer back as
it came: the agent's client is meant to understand it. Whatever goes wrong, it raises `ModelFailed` and nothing else.
Tests: tests/contracts/test_model_providers.py.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from audit.core.plugins import discover
from governance.core.prices import Usage

Kind = Literal[
    "authentication",
    "rate_limited",
    "overloaded",
    "refused_request",
    "timeout",
    "unreachable",
    "broken_answer",
    "upstream",
]


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What a deployment tells its provider. `url` is empty for the provider's own; `timeout_s` bounds one whole answer."""

    url: str = ""
    key: str = field(default="", repr=False)
    timeout_s: float = 600.0
    retries: int = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: its JSON as it came, and what the gateway reads of it."""

    content: bytes
    usage: Usage
    stop_reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One server-sent event of a streamed answer, as it came. `usage` is what is counted so far, None where that is not known.

    `characters` counts the text that it carries, for an answer that is cut off before its usage is told.
    """

    content: bytes
    usage: Usage | None = None
    characters: int = 0
    stop_reason: str = ""
    request_id: str = ""
    is_last: bool = False


class ModelFailed(Exception):
    """The provider gave no answer, or not all of it; the only exception that leaves a provider.

    `kind` names what happened. `is_billed` says that the provider may count it all the same. `retry_after_s` is its word.
    """

    def __init__(
        self,
        message: str,
        kind: Kind,
        *,
        is_billed: bool = False,
        retry_after_s: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.is_billed = is_billed
        self.retry_after_s = retry_after_s
        self.request_id = request_id


class ModelProvider(ABC):
    """Answers the Messages API."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: ProviderSettings) -> "ModelProvider":
        """Build the provider cheaply, without touching the network."""

    @abstractmethod
    async def answer(self, body: Mapping[str, Any], betas: Sequence[str]) -> Reply:
        """Return the whole answer to a request."""

    @abstractmethod
    def stream(self, body: Mapping[str, Any], betas: Sequence[str]) -> AsyncIterator[Part]:
        """Yield the answer as it comes; leaving the iterator closes the connection to the provider."""

    async def close(self) -> None:  # noqa: B027 - one that keeps nothing open has nothing to close
        """Let go of connections."""


def all_model_providers() -> dict[str, type[ModelProvider]]:
    """Return every provider by its name."""
    return discover("gateway.model_providers", ModelProvider)  # type: ignore[type-abstract]
