"""Log lines: one event with its facts, the request's correlation id on each, and never a secret."""

import logging.config
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

# Keys whose values are never written, and shapes that are secrets wherever they stand: our API keys, JSON web
# tokens, authorization headers, passwords in addresses, private keys.
SECRET_NAMES = re.compile(r"password|secret|token|authorization|cookie|api_?key|private|credential", re.IGNORECASE)
SECRET_SHAPES = re.compile(
    r"wk_[A-Za-z0-9]+_[A-Za-z0-9_-]+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    re.DOTALL,
)
HIDDEN = "•••"


def without_secrets(text: str) -> str:
    """Return `text` with everything that looks like a secret replaced."""
    return SECRET_SHAPES.sub(HIDDEN, text)


def hide_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a log line, by name and by shape (a structlog processor)."""
    for key, value in event.items():
        event[key] = HIDDEN if SECRET_NAMES.search(key) and value not in (None, "") else _hidden(value)
    return event


def _hidden(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value)
        case Mapping():
            return {key: HIDDEN if SECRET_NAMES.search(str(key)) else _hidden(item) for key, item in value.items()}
        case list() | tuple():
            return [_hidden(item) for item in value]
        case _:
            return value


def add_correlation(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the correlation id of the request or task at hand on a log line (a structlog processor)."""
    from audit import correlation

    if found := correlation.current():
        event.setdefault("correlation_id", found)
    return event


def logging_settings(*, level: str, style: str) -> dict[str, Any]:
    """Return the settings of the standard library's logging; `style` is `auto`, `json` or `text`."""
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    shared = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        add_correlation,
    ]
    last = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        hide_secrets,
        renderer,
    ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"()": structlog.stdlib.ProcessorFormatter, "processors": last, "foreign_pre_chain": shared}
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.request": {
                "level": "ERROR"
            },  # What a client did wrong is in the answer, and one line of `worka.request`.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "uvicorn": {"level": "WARNING"},
            "psycopg": {"level": "WARNING"},
            "psycopg.pool": {"level": "ERROR"},
            "asyncio": {"level": "WARNING"},
            "mcp": {"level": "CRITICAL"},  # It quotes what servers say; what matters of it is in our own lines.
            # They would write whole addresses down, and what is in them.
            "httpx2": {"level": "WARNING"},
            "httpcore2": {"level": "WARNING"},
        },
    }


def configure(found: dict[str, Any]) -> None:
    """Set up the standard library's logging and structlog alike."""
    logging.config.dictConfig(found)
    shared = found["formatters"]["line"]["foreign_pre_chain"]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
