"""Signed tree heads outside the data base: a file that only grows, one head a line.

Whoever cuts the log or puts an older copy in its place cannot take these back. What is not there cannot be missed, so
the file belongs on another disk, or in a place that is copied away.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from audit.core.canonical import parse
from audit.core.proof import TreeHead
from audit.core.refusals import Refused

TAIL_BYTES = 65536  # longer than any line


class HeadsDamaged(Exception):
    """The file of tree heads holds something else; the message says where."""


def heads_file() -> Path | None:
    """Return where heads are written, or None where nobody configured it."""
    return Path(settings.WORKA_TREE_HEADS) if settings.WORKA_TREE_HEADS else None


def newest_outside() -> TreeHead | None:
    """Return the last head in the file, None if there is none; raise `HeadsDamaged`."""
    path = heads_file()
    if path is None or not path.exists():
        return None
    with path.open("rb") as file:
        return _last(file)


def all_outside() -> Iterator[tuple[int, TreeHead]]:
    """Yield every head in the file with its line number; raise `HeadsDamaged` at a line that is none."""
    path = heads_file()
    if path is None or not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):  # a torn last line is what a crash leaves; the next append removes it
                yield number, _read(line, f"line {number}")


def append(heads_after: Callable[[TreeHead | None], Iterable[TreeHead]]) -> int:
    """Write the heads that follow the last one in the file, durable before it returns; return how many.

    `heads_after` is asked with the last head there is, while nobody else can append. Raises `HeadsDamaged`.
    """
    path = heads_file()
    if path is None:
        return 0
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        heads = list(heads_after(_last(file)))
        if heads:
            _go_to_end(file)
            file.write(b"".join(json.dumps(head.as_json()).encode() + b"\n" for head in heads))
            file.flush()
            os.fsync(file.fileno())
    if is_new:
        _sync_folder(path.parent)
    return len(heads)


def _last(file: BinaryIO) -> TreeHead | None:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(max(0, size - TAIL_BYTES))
    whole, _, _torn = file.read().rpartition(b"\n")
    return _read(whole.rpartition(b"\n")[2], "the last line") if whole else None


def _go_to_end(file: BinaryIO) -> None:
    """Stand behind the last whole line; what a crash left of another is cut off."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    end = start + tail.rfind(b"\n") + 1
    if end < size:
        file.truncate(end)
    file.seek(end)


def _read(line: bytes, where: str) -> TreeHead:
    try:
        return TreeHead.from_json(parse(line))
    except Refused as refusal:
        raise HeadsDamaged(f"{where} of {heads_file()}: {refusal}") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
