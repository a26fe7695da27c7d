"""The rows of the gateway in the console, one file a family; what their pages show is filled by the portal."""

from gateway.admin import mcp, memory, model_calls, treasury

__all__ = ["mcp", "memory", "model_calls", "treasury"]
