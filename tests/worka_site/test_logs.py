"""Log lines: facts, one id, and never a secret."""

import io
import json
import logging

import pytest
import structlog

from audit import correlation
from worka_site.logs import HIDDEN, configure, logging_settings, without_secrets


@pytest.fixture
def lines():
    """Log for real, as JSON, into a text; what pytest listens to is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    found = logging_settings(level="INFO", style="json")
    stream = io.StringIO()
    found["handlers"]["stderr"]["stream"] = stream
    configure(found)

    def read():
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()
    from django.conf import settings

    configure(settings.LOGGING)
    root.handlers[:], root.level = before, level


@pytest.mark.parametrize(
    "secret",
    [
        "wk_3fa9c1_" + "f" * 64,
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZ2VudDplcm5lc3QifQ.c2lnbmF0dXJl",
        "Bearer abcdefghijklmnop",
        "ada:hunter22",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(secret, lines):
    text = f"postgresql://{secret}@db" if ":" in secret and "-" not in secret else f"before {secret} after"

    structlog.get_logger("t").info("said", where=text, deep={"list": [text]})
    logging.getLogger("t").warning("said %s", text)

    written = json.dumps(lines())
    assert secret not in without_secrets(text)
    assert secret.split("\n")[-1] not in written
    assert written.count(HIDDEN.encode("ascii", "backslashreplace").decode()) >= 3


def test_a_value_is_hidden_for_its_name(lines):
    structlog.get_logger("t").info(
        "signed_in", password="correct horse", api_key="k", user="ada", nested={"token": "t"}
    )

    (line,) = lines()
    assert (line["password"], line["api_key"], line["nested"]["token"]) == (HIDDEN, HIDDEN, HIDDEN)
    assert line["user"] == "ada"


def test_a_secret_in_a_traceback_is_hidden(lines):
    said = "refused: wk_3fa9c1_" + "f" * 64
    try:
        raise RuntimeError(said)
    except RuntimeError:
        logging.getLogger("t").exception("it failed")

    (line,) = lines()
    assert "RuntimeError" in line["exception"]
    assert "f" * 64 not in line["exception"]


def test_a_line_carries_the_id_of_its_request(lines):
    with correlation.bind("a-request-of-ada"):
        structlog.get_logger("t").info("inside")
    structlog.get_logger("t").info("outside")

    inside, outside = lines()
    assert inside["correlation_id"] == "a-request-of-ada"
    assert "correlation_id" not in outside


def test_a_line_has_its_time_level_and_logger(lines):
    structlog.get_logger("worka.test").warning("careful", because="of this")

    (line,) = lines()
    assert (line["event"], line["level"], line["logger"], line["because"]) == (
        "careful",
        "warning",
        "worka.test",
        "of this",
    )
    assert line["timestamp"].endswith("Z")
