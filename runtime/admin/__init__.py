"""Jobs in the console."""

from runtime.admin import jobs

__all__ = ["jobs"]
