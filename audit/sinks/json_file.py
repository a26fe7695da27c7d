"""Append the ledger to a file, one entry a line, each entry once."""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Self

from django.conf import settings

from audit.models import AuditEvent
from audit.sink import Sink, line_of

BLOCK_BYTES = 65536


class JsonFile(Sink):
    """Write one line an entry to a file; when the file is moved away, a new one is begun."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def configured(cls) -> Self:
        """Make the sink for the file WORKA_SINK_FILE."""
        return cls(Path(settings.WORKA_SINK_FILE))

    def write(self, events: Sequence[AuditEvent]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            written = _prepare(file)
            file.write(b"".join(line_of(event) for event in events if (event.position or 0) > written))
            file.flush()
            os.fsync(file.fileno())


def _prepare(file: BinaryIO) -> int:
    """Cut off a line that a crash tore, stand at the end, and return the last position that is there (0: none)."""
    end = _end_of_last_line(file, file.seek(0, os.SEEK_END))
    start = _end_of_last_line(file, end - 1) if end else 0
    file.seek(start)
    line = file.read(end - start)
    file.truncate(end)
    file.seek(end)
    return int(json.loads(line)["position"]) if line else 0


def _end_of_last_line(file: BinaryIO, before: int) -> int:
    """Return the offset behind the last newline that lies before an offset, 0 if there is none."""
    while before > 0:
        start = max(0, before - BLOCK_BYTES)
        file.seek(start)
        found = file.read(before - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        before = start
    return 0
