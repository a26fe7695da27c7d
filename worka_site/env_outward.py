"""The variables that say what Worka sends elsewhere: copies of the ledger, and traces. Unset, nothing is sent."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from audit.core.addresses import address_problem


class OutwardEnvironment(BaseSettings):
    """Sinks beyond this machine, and collectors of traces."""

    webhook_url: str = Field(
        "",
        validation_alias="WORKA_WEBHOOK_URL",
        description="Where the sink webhook posts each ledger entry; https, or this machine.",
    )
    webhook_secret: str = Field(
        "",
        validation_alias="WORKA_WEBHOOK_SECRET",
        description="Signs what the sink webhook posts: whsec_ and at least 24 random bytes in base64.",
    )
    syslog_address: str = Field(
        "",
        validation_alias="WORKA_SYSLOG_ADDRESS",
        description="host:port of the sink syslog's server, which speaks TLS; without a port: 6514.",
    )
    sink_ca_file: Path | None = Field(
        None,
        validation_alias="WORKA_SINK_CA_FILE",
        description="Certificates (PEM) that the sinks webhook and syslog believe; default: the system's.",
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias="WORKA_OTLP_ENDPOINT",
        description="An OpenTelemetry collector (OTLP/HTTP) that gets a trace of each run, e.g. https://otel.example.com:4318.",
    )
    otlp_headers: Annotated[dict[str, str], NoDecode] = Field(
        {},
        validation_alias="WORKA_OTLP_HEADERS",
        description="Headers for the collector, such as its key: name=value, separated by commas.",
    )
    langfuse_host: str = Field(
        "",
        validation_alias="WORKA_LANGFUSE_HOST",
        description="A Langfuse that gets a trace of each run, e.g. https://langfuse.example.com.",
    )
    langfuse_public_key: str = Field(
        "", validation_alias="WORKA_LANGFUSE_PUBLIC_KEY", description="The public key of the project in Langfuse."
    )
    langfuse_secret_key: str = Field(
        "", validation_alias="WORKA_LANGFUSE_SECRET_KEY", description="The secret key of the project in Langfuse."
    )
    tracing_ca_file: Path | None = Field(
        None,
        validation_alias="WORKA_TRACING_CA_FILE",
        description="Certificates (PEM) that are believed of the collector and of Langfuse; default: the system's.",
    )

    @field_validator("otlp_headers", mode="before")
    @classmethod
    def _split_headers(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not name.strip() or not found.strip() for name, _, found in pairs):
            raise ValueError("it must look like name=value,other=value")
        return {name.strip(): found.strip() for name, _, found in pairs}

    @field_validator("webhook_url", "otlp_endpoint", "langfuse_host")
    @classmethod
    def _may_be_sent_to(cls, value: str) -> str:
        if value and (problem := address_problem(value)):
            raise ValueError(f"it {problem}")
        return value.rstrip("/")
