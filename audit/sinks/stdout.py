"""Print the ledger as JSON lines, for whatever collects the logs."""

import sys
from collections.abc import Sequence

from audit.models import AuditEvent
from audit.sink import Sink, line_of


class Stdout(Sink):
    """Write one line an entry to standard output."""

    def write(self, events: Sequence[AuditEvent]) -> None:
        sys.stdout.write("".join(line_of(event).decode() for event in events))
        sys.stdout.flush()
