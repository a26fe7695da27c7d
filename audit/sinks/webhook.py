"""Post each entry to a web address, signed as Standard Webhooks says."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.utils.timezone import now
from standardwebhooks import Webhook as Signer

from audit.core.addresses import address_problem
from audit.core.canonical import canonical
from audit.models import AuditEvent
from audit.outward import NotDelivered, connected, post, trust_problem
from audit.sink import Sink, whole

SHORTEST_SECRET_BYTES = 24


class Webhook(Sink):
    """Post one request an entry, in order; `webhook-id` is the position, so that whoever gets one twice can tell."""

    # Each entry is a request, and those before one that fails come again.
    at_once = 10

    def __init__(self, url: str, secret: str, ca_file: Path | None = None) -> None:
        self.url = url
        self.ca_file = ca_file
        self._signer = Signer(secret)

    @classmethod
    def configured(cls) -> Self:
        """Make the sink for WORKA_WEBHOOK_URL; raise NotDelivered where nothing may be sent with these settings."""
        if problem := cls.problem():
            raise NotDelivered(problem)
        return cls(settings.WORKA_WEBHOOK_URL, settings.WORKA_WEBHOOK_SECRET, settings.WORKA_SINK_CA_FILE)

    @classmethod
    def problem(cls) -> str:
        if not settings.WORKA_WEBHOOK_URL:
            return "WORKA_WEBHOOK_URL is not set"
        if problem := address_problem(settings.WORKA_WEBHOOK_URL):
            return f"WORKA_WEBHOOK_URL {problem}"
        try:
            key = base64.b64decode(settings.WORKA_WEBHOOK_SECRET.removeprefix("whsec_") + "==", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) < SHORTEST_SECRET_BYTES:
            return f"WORKA_WEBHOOK_SECRET is not whsec_ and at least {SHORTEST_SECRET_BYTES} random bytes in base64"
        return trust_problem(settings.WORKA_SINK_CA_FILE)

    def write(self, events: Sequence[AuditEvent]) -> None:
        if not events:
            return
        with connected(self.ca_file) as client:
            for event in events:
                body = canonical(_message(event)).decode()
                at, name = now(), str(event.position)
                headers = {
                    "content-type": "application/json",
                    "webhook-id": name,
                    "webhook-timestamp": str(int(at.timestamp())),
                    "webhook-signature": self._signer.sign(name, at, body),
                }
                post(client, self.url, body.encode(), headers)


def _message(event: AuditEvent) -> dict[str, Any]:
    entry = whole(event)
    return {"type": event.type, "timestamp": entry["at"], "data": entry}
