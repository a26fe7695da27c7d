"""Send each entry to a syslog server: RFC 5424 messages over TLS (RFC 5425)."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from django.conf import settings

from audit.models import AuditEvent
from audit.outward import NotDelivered, trust, trust_problem
from audit.sink import Sink, line_of

PORT = 6514  # RFC 5425, 4.1
TIMEOUT_S = 5.0
PRIORITY = 13 * 8 + 5  # facility "log audit", severity "notice"
# 32473 is the number that IANA keeps for examples (RFC 5612): Worka has none of its own.
DATA_ID = "worka@32473"
BOM = "\ufeff"


class Syslog(Sink):
    """Write one message an entry; its structured data says position, type, subject, actor, workspace and run."""

    def __init__(self, host: str, port: int, *, sender: str, ca_file: Path | None = None) -> None:
        self.host = host
        self.port = port
        self.sender = sender
        self.ca_file = ca_file

    @classmethod
    def configured(cls) -> Self:
        """Make the sink for WORKA_SYSLOG_ADDRESS; raise NotDelivered where that is no address."""
        if problem := cls.problem():
            raise NotDelivered(problem)
        host, port = _place(settings.WORKA_SYSLOG_ADDRESS)
        sender = urlsplit(settings.WORKA_URL).hostname or "-"
        return cls(host, port, sender=sender, ca_file=settings.WORKA_SINK_CA_FILE)

    @classmethod
    def problem(cls) -> str:
        if not settings.WORKA_SYSLOG_ADDRESS:
            return "WORKA_SYSLOG_ADDRESS is not set"
        try:
            host, _port = _place(settings.WORKA_SYSLOG_ADDRESS)
        except ValueError:
            host = ""
        if not host:
            return "WORKA_SYSLOG_ADDRESS must look like logs.example.com:6514"
        return trust_problem(settings.WORKA_SINK_CA_FILE)

    def write(self, events: Sequence[AuditEvent]) -> None:
        if not events:
            return
        context = trust(self.ca_file)
        try:
            with (
                socket.create_connection((self.host, self.port), timeout=TIMEOUT_S) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as line,
            ):
                for event in events:
                    line.sendall(_frame(_message(event, self.sender)))
                _end(line)
        except ssl.SSLCertVerificationError as error:
            raise NotDelivered(f"the server's certificate is not trusted: {error.verify_message}") from None
        except TimeoutError:
            raise NotDelivered("the server does not answer in time") from None
        except OSError as error:
            raise NotDelivered(f"the server cannot be reached ({error.strerror or type(error).__name__})") from None


def _place(address: str) -> tuple[str, int]:
    parts = urlsplit(f"//{address}")
    return parts.hostname or "", parts.port or PORT


def _frame(message: bytes) -> bytes:
    """Count the octets before the message (RFC 5425, 4.3)."""
    return b"%d %b" % (len(message), message)


def _message(event: AuditEvent, sender: str) -> bytes:
    fields = {
        "position": event.position,
        "type": event.type,
        "subject": event.subject,
        "actor": event.actor,
        "workspace": event.workspace or "",
        "run": event.run or "",
    }
    data = " ".join(f'{name}="{_quoted(str(value))}"' for name, value in fields.items())
    head = f"<{PRIORITY}>1 {event.exact['at']} {_name(sender, 255)} worka - {_name(event.type, 32)} [{DATA_ID} {data}] "
    return (head + BOM).encode() + line_of(event).rstrip(b"\n")


def _quoted(text: str) -> str:
    r"""Escape `"`, `\` and `]` (RFC 5424, 6.3.3)."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _name(text: str, length: int) -> str:
    return "".join(letter for letter in text if "!" <= letter <= "~")[:length] or "-"


def _end(line: ssl.SSLSocket) -> None:
    """Wait until the server has read everything: syslog acknowledges nothing, but its end of the line comes after ours.

    A server that goes away with something unread resets the connection, which is an error like any other.
    """
    try:
        line.unwrap()
    except TimeoutError:
        # It does not heed the end of TLS; it will heed the end of the connection.
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass
    except ssl.SSLEOFError:
        pass
