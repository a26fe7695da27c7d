"""The one signal. It may make things happen sooner; it may never make them happen."""

from django.dispatch import Signal

# Sent after commit for every ledger entry, with `event`; each receiver has a periodic twin that finds the same work.
recorded = Signal()
