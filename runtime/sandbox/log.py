"""Keep what a job prints in a bounded space: its beginning, and its latest end."""

import os
import time
from contextlib import suppress

HEAD, TAIL = "log", "log.tail"


class BoundedLog:
    """Keeps at most `limit` bytes: half for the beginning, written at once, and half for the latest end, written by `flush`."""

    def __init__(self, folder: str, limit: int) -> None:
        self.folder = folder
        self.half = max(limit // 2, 1)
        self.head_left = self.half
        self.tail = bytearray()
        self.dropped = 0
        self.is_behind = False
        self.flushed_at = 0.0
        self.head = os.open(os.path.join(folder, HEAD), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Add what was printed; a full disk costs the line, not the job."""
        if self.head_left:
            with suppress(OSError):
                os.write(self.head, data[: self.head_left])
            data, self.head_left = data[self.head_left :], max(self.head_left - len(data), 0)
        if data:
            self.tail += data
            self.is_behind = True
            # Cut seldom: what is beyond the limit is in memory only.
            if len(self.tail) > 2 * self.half + len(data):
                self._cut()

    def _cut(self) -> None:
        over = max(len(self.tail) - self.half, 0)
        self.dropped += over
        del self.tail[:over]

    def flush(self) -> None:
        """Write the end down, whole, so that a reader never sees a part of it."""
        self.flushed_at = time.monotonic()
        if not self.is_behind:
            return
        self._cut()
        self.is_behind = False
        with suppress(OSError):
            with open(os.path.join(self.folder, TAIL + ".new"), "wb") as file:
                if self.dropped:
                    file.write(b"\n[... %d bytes were left out ...]\n" % self.dropped)
                file.write(self.tail)
            os.replace(os.path.join(self.folder, TAIL + ".new"), os.path.join(self.folder, TAIL))


def read(folder: str) -> bytes:
    """Return what was kept, with a line that says how much was left out in the middle."""
    kept = b""
    for name in (HEAD, TAIL):
        with suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as file:
            kept += file.read()
    return kept
