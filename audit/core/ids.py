"""Ids that sort by the time they were made."""

import os
import time
from uuid import UUID

from audit.core.codes import Code
from audit.core.refusals import Refused


def uuid7() -> UUID:
    """Make a UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, the rest random."""
    value = int.from_bytes((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def parse_id(text: object) -> UUID:
    """Read an id that came from outside; what is not a UUID is `not_found`, as it names nothing."""
    try:
        return UUID(str(text))
    except ValueError:
        raise Refused(f"there is nothing with the id {str(text)[:40]!r}", code=Code.NOT_FOUND) from None
