"""Find plug-ins by folder: one module, one class, and the file's name is its name."""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")


class PluginError(Exception):
    """A module in a plug-in folder does not hold exactly one plug-in."""


def discover(package: str, base: type[T]) -> dict[str, type[T]]:
    """Return every subclass of `base` defined in a module of `package`, keyed by the module's name."""
    return dict(_discover(package, base))  # type: ignore[arg-type]  # every class is hashable


@cache
def _discover(package: str, base: type) -> dict[str, type[Any]]:
    found: dict[str, type[Any]] = {}
    for info in pkgutil.iter_modules(import_module(package).__path__):
        module = import_module(f"{package}.{info.name}")
        plugins = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
        ]
        if len(plugins) != 1:
            raise PluginError(f"{module.__name__} holds {len(plugins)} plug-ins, not one")
        found[info.name] = plugins[0]
    return found
