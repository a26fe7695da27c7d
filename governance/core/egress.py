"""Which hosts calls may reach: every layer of policy has its list, and a connection needs a line in each of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from governance.core.wording import excerpt

ANY_HOST = "*"
HTTPS, HTTP = "https", "http"
DEFAULT_PORTS = {HTTPS: 443, HTTP: 80}
LONGEST_HOST = 253

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# What resolvers read as an address although it does not look like one: 127.1, 2130706433, 0x7f000001, 017700000001.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class NotAHost(ValueError):
    """A text that names no host, or hides which one; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """A line of a manifest's `egress`. `http` allows connections without TLS, `private` addresses inside the house."""

    host: str
    http: bool = False
    private: bool = False
    ports: tuple[int, ...] = (443,)

    def covers(self, host: str) -> bool:
        """Say whether a normal host is meant: this one, with `*.` any name below it, with `*` every host."""
        if self.host in (ANY_HOST, host):
            return True
        return self.host.startswith("*.") and host.endswith(self.host[1:])

    def as_json(self) -> dict[str, Any]:
        """Return its normal form."""
        return {"host": self.host, "http": self.http, "private": self.private, "ports": sorted(self.ports)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Target":
        """Read what `as_json` wrote."""
        return cls(value["host"], value["http"], value["private"], tuple(value["ports"]))


@dataclass(frozen=True, slots=True)
class Egress:
    """What the manifests in force allow, each by the name of its layer. Without a layer nothing may be reached."""

    layers: tuple[tuple[str, tuple[Target, ...]], ...] = ()


NOWHERE = Egress()


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a connection is allowed, and to addresses inside the house too; `because` says why not."""

    is_allowed: bool
    may_be_private: bool = False
    because: str = ""


def may_reach(egress: Egress, scheme: str, host: str, port: int) -> Reach:
    """Say whether policy allows a connection to a normal host; one line of each layer must fit all of it."""
    if scheme not in DEFAULT_PORTS:
        return Reach(is_allowed=False, because=f"only https and http are spoken here, not {excerpt(scheme)}")
    may_be_private = True
    for layer, targets in egress.layers:
        named = [target for target in targets if target.covers(host)]
        fitting = [target for target in named if scheme == HTTPS or target.http]
        at_port = [target for target in fitting if port in target.ports]
        if not at_port:
            why = "does not list it" if not named else "allows it with https only" if not fitting else ""
            return Reach(
                is_allowed=False,
                because=f"{excerpt(host)} may not be reached: the {layer}'s policy {why or f'allows no port {port}'}",
            )
        may_be_private = may_be_private and any(target.private for target in at_port)
    if not egress.layers:
        return Reach(is_allowed=False, because=f"{excerpt(host)} may not be reached: there is no policy that lists it")
    return Reach(is_allowed=True, may_be_private=may_be_private)


def normal_host(text: str) -> str:
    """Return a host in the one form in which hosts are compared, or raise NotAHost.

    Names are lower case ASCII (IDNA 2008 with the mapping of UTS 46); addresses have their canonical form only, an IPv6
    one without brackets. What only stands for an address (`127.1`, `0x7f000001`) is refused, never translated.
    """
    host = text
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    if ":" in host:
        return _ipv6(host)
    if not host.isascii():
        host = _ascii(host)
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(host)
    if len(host) > LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise NotAHost(f"{excerpt(text) or 'nothing'} is not the name of a host")
    return host


def normal_pattern(text: str) -> str:
    """Return a manifest's host in its normal form: a host, `*.` with a name, or `*`; raise NotAHost for anything else."""
    if text == ANY_HOST:
        return text
    if text.startswith("*."):
        name = normal_host(text[2:])
        if _is_address(name):
            raise NotAHost(f"{excerpt(text)}: nothing is below an address")
        return f"*.{name}"
    return normal_host(text)


def _ascii(host: str) -> str:
    # Its tables take a moment to load, and hardly any host needs them.
    import idna

    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise NotAHost(f"{excerpt(host)} is not the name of a host") from None


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise NotAHost(
            f"{excerpt(host)} is a number that stands for an address; write the address, or better a name"
        ) from None


def _ipv6(host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        raise NotAHost(f"{excerpt(host)} is not an address") from None
    if address.scope_id is not None:
        raise NotAHost(f"{excerpt(host)} names an interface of this machine")
    return str(address)


def _is_address(host: str) -> bool:
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
