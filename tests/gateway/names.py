"""Names that lead where a test says, and every place that was connected to."""

import socket
from ipaddress import ip_address
from typing import Any

import pytest


class Names:
    """Stands in for the resolver: each name has its answers, one after the other; the last one stays."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        real, connect = socket.getaddrinfo, socket.socket.connect

        def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host not in self.answers:
                ip_address(host)
                return real(host, port, *args, **kwargs)
            self.asked.append(host)
            left = self.answers[host]
            found = left.pop(0) if len(left) > 1 else left[0]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return [
                (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
                for each in found
            ]

        def connecting(self_: socket.socket, address: Any) -> Any:
            if self_.family != socket.AF_UNIX:
                self.connected.append(address[:2])
            return connect(self_, address)

        patch.setattr(socket, "getaddrinfo", resolve)
        patch.setattr(socket.socket, "connect", connecting)

    def lead(self, name: str, *answers: list[str]) -> None:
        self.answers[name] = list(answers)
