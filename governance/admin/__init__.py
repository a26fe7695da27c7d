"""The rows of governance in the console, one file a family; what their pages show is filled by the portal."""

from governance.admin import artifacts, burns, calls, gates, manifests, registry, runs

__all__ = ["artifacts", "burns", "calls", "gates", "manifests", "registry", "runs"]
