"""What a step has read, or the planner of a run. It only grows, and only the gateway says so."""

from collections.abc import Iterable

from governance.models import Run, Step

TAINTS = frozenset({"reads_private", "untrusted_output"})


def grow_taint(row: Step | Run, labels: Iterable[str]) -> None:
    """Add labels to the taint of a locked step, or of a locked run for its planner; nothing is written when it has them all."""
    grown = sorted(set(row.taint) | (set(labels) & TAINTS))
    if grown != sorted(row.taint):
        type(row)._default_manager.filter(pk=row.pk).update(taint=grown)
        row.taint = grown
