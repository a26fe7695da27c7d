"""What the environment says about the model; a part of `env.Environment`."""

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from audit.core.addresses import address_problem
from governance.core.prices import Price

# The longest pattern that fits counts; a model that none fits cannot be called. What is not known by its own name is counted
# as dear as any: a budget that ends too early is noticed, one that ends too late is paid.
PRICES: dict[str, dict[str, Any]] = {
    "claude-*": {"input": 15, "output": 75, "cache_write": 18.75, "cache_read": 1.5},
    "claude-opus-4-5*": {"input": 5, "output": 25, "cache_write": 6.25, "cache_read": 0.5},
    "claude-sonnet-4-*": {"input": 3, "output": 15, "cache_write": 3.75, "cache_read": 0.3},
    "claude-haiku-4-5*": {"input": 1, "output": 5, "cache_write": 1.25, "cache_read": 0.1},
}


class ModelEnvironment(BaseSettings):
    """Every variable about the model, with its default."""

    model: str = Field(
        "claude-sonnet-5-5",
        validation_alias="WORKA_MODEL",
        description="The model that agents use where their own row names none; the policy must allow it.",
    )
    model_key: str = Field(
        "",
        validation_alias="ANTHROPIC_API_KEY",
        description="The key for the model provider; it never leaves the gateway. Empty, with no WORKA_MODEL_URL: no model.",
    )
    model_url: str = Field(
        "",
        validation_alias="WORKA_MODEL_URL",
        description="An endpoint that speaks the Anthropic Messages API; default: Anthropic's own.",
    )
    model_provider: str = Field(
        "anthropic",
        validation_alias="WORKA_MODEL_PROVIDER",
        description="How the model is spoken to: a provider's name.",
    )
    model_prices: Annotated[dict[str, dict[str, Any]], NoDecode] = Field(
        PRICES,
        validation_alias="WORKA_MODEL_PRICES",
        description="US dollars per million tokens, as JSON: a pattern of model names to {input, output, cache_write?, cache_read?}.",
    )
    model_betas: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="WORKA_MODEL_BETAS",
        description="Values of the header anthropic-beta that agents may send, separated by commas.",
    )
    model_timeout_s: float = Field(
        600,
        ge=1,
        le=3600,
        validation_alias="WORKA_MODEL_TIMEOUT_S",
        description="Seconds that one answer of a model may take.",
    )

    embedder_url: str = Field(
        "",
        validation_alias="WORKA_EMBEDDER_URL",
        description="An endpoint that speaks OpenAI's embeddings API, such as http://127.0.0.1:8080/v1; memories are then found by meaning, too.",
    )
    embedder_key: str = Field(
        "", validation_alias="WORKA_EMBEDDER_KEY", description="The key for the embedder, where it wants one."
    )
    embedder_model: str = Field(
        "", validation_alias="WORKA_EMBEDDER_MODEL", description="The embedder's model; needed with WORKA_EMBEDDER_URL."
    )
    embedder_closeness: float = Field(
        0.4,
        ge=0,
        le=1,
        validation_alias="WORKA_EMBEDDER_CLOSENESS",
        description="How close in meaning a memory must be to be told (cosine, 0 to 1); what suits depends on the embedder's model.",
    )

    @field_validator("embedder_url")
    @classmethod
    def _may_be_asked(cls, value: str) -> str:
        if value and (problem := address_problem(value)):
            raise ValueError(f"it {problem}")
        return value.rstrip("/")

    @field_validator("model_prices", mode="before")
    @classmethod
    def _read_prices(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            found = json.loads(value, parse_float=str)
        except ValueError as error:
            raise ValueError(f"it is no JSON: {error}") from None
        if not isinstance(found, dict) or not all(isinstance(price, dict) for price in found.values()):
            raise ValueError('it must look like {"claude-sonnet-*": {"input": 3, "output": 15}}')
        for price in found.values():
            Price.from_json(price)
        return found

    @field_validator("model_url")
    @classmethod
    def _model_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query):
            raise ValueError("it must look like https://models.example.com, without a key in it")
        return value.rstrip("/")

    @field_validator("model_betas", mode="before")
    @classmethod
    def _split_betas(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
