"""What a job has printed, as lines."""

import re

from runtime.logs import log_of
from runtime.models import AgentJob
from worka_site.portal.shapes import LogLine

_MATTERS = re.compile(r"\b(held|denied|refused|failed|error|killed|traceback)\b", re.IGNORECASE)


def log_lines_of(job: AgentJob, *, most: int = 4000) -> list[LogLine]:
    """Return the last lines of a job's log; those that say that something was held or went wrong are marked."""
    lines = log_of(job).splitlines()[-most:]
    return [LogLine("", line, bool(_MATTERS.search(line))) for line in lines]
