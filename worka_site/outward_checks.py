"""System checks of what is sent elsewhere: a destination that cannot work, or is unsafe, is found at start."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register

from audit.sink import all_sinks, configured_sinks
from gateway.tracing.exporters import wanted


@register(Tags.security, deploy=True)
def sinks_can_be_reached(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E010: each sink exists, and its settings can work."""
    found, there = [], all_sinks()
    for name in configured_sinks():
        if name not in there:
            problem, hint = f"there is no such sink; there are {', '.join(sorted(there))}", "Mend WORKA_SINKS."
        else:
            problem, hint = there[name].problem(), "docs/how-to/send-the-ledger-elsewhere.md"
        if problem:
            found.append(Error(f"The ledger cannot be sent to the sink {name}: {problem}.", hint=hint, id="worka.E010"))
    return found


@register(Tags.security, deploy=True)
def traces_can_be_sent(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E011: the settings of each collector of traces can work."""
    problems = {name.removeprefix("trace:"): exporter.problem() for name, exporter in wanted().items()}
    hint = "docs/how-to/trace-runs.md"
    return [
        Error(f"Traces cannot be sent to {name}: {problem}.", hint=hint, id="worka.E011")
        for name, problem in problems.items()
        if problem
    ]
