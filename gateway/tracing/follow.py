"""The tick of tracing: carry what the ledger has sealed to every collector, and say how that goes."""

from audit.deliver import SinkHealth, begin_at_the_end, deliver_each, health_of
from gateway.tracing.exporters import wanted


def follow_ledger() -> int:
    """Export what has ended since the last time; return how many entries were looked at. What fails comes again.

    A collector that is new begins with what happens from now on: a ledger of years is not told anew.
    """
    exporters = wanted()
    for name in exporters:
        begin_at_the_end(name)
    return deliver_each({name: exporter.configured for name, exporter in exporters.items()})


def tracing_health() -> list[SinkHealth]:
    """Return how each collector is doing; none when nothing is traced."""
    return health_of(wanted())
