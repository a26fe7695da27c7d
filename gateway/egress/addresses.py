"""From an address as somebody wrote it to the host, the port and the checked addresses of a connection."""

import re
import socket
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from gateway.egress.refused import NotReached, Why
from governance.core.addresses import Address, why_not
from governance.core.egress import DEFAULT_PORTS, NotAHost, normal_host
from governance.core.wording import excerpt

LONGEST_URL = 2048
MOST_ADDRESSES = 16

# One reading for all: what stands before the path is taken apart here, and never by a library that may read it otherwise.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a request goes: a normal host (an IPv6 address without brackets), a port, and the rest of the address."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The address in its normal form; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def goal_of(url: str) -> Goal:
    """Read an address, or raise NotReached for what is none, is not http or https, carries a user or hides its host."""
    if len(url) > LONGEST_URL:
        raise NotReached(Why.BAD_ADDRESS, f"the address is longer than {LONGEST_URL} characters")
    # Browsers and libraries disagree about these, and on disagreement tricks are built.
    if "\\" in url or not url.isprintable() or any(sign.isspace() for sign in url):
        raise NotReached(Why.BAD_ADDRESS, "the address holds spaces, backslashes or characters that cannot be seen")
    parts = _URL.match(url)
    if parts is None:
        raise NotReached(Why.BAD_ADDRESS, f"{excerpt(url)} is not an address such as https://example.com/page")
    scheme, authority, path = parts[1].lower(), parts[2], parts[3]
    if scheme not in DEFAULT_PORTS:
        raise NotReached(Why.BAD_ADDRESS, f"only https and http are spoken here, not {excerpt(scheme)}")
    if "@" in authority:
        raise NotReached(Why.BAD_ADDRESS, "the address carries a user or a password before its host")
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise NotReached(Why.BAD_ADDRESS, f"{excerpt(authority)} is not a host and a port")
    try:
        host = normal_host(found[1])
    except NotAHost as error:
        raise NotReached(Why.BAD_ADDRESS, str(error)) from None
    port = int(found[2]) if found[2] else DEFAULT_PORTS[scheme]
    if not 0 < port < 65_536:
        raise NotReached(Why.BAD_ADDRESS, f"there is no port {port}")
    return Goal(scheme, host, port, path if path.startswith("/") else f"/{path}")


def checked_addresses(goal: Goal, *, may_be_private: bool, deadline: float) -> list[Address]:
    """Resolve the host, once, and return its addresses if connections may go to every one of them; raise NotReached.

    Connecting to one of these, and not to the name again, is what shuts the door to a name that changes its mind.
    """
    found = _resolved(goal, deadline)
    for address in found:
        what = why_not(address, may_be_private=may_be_private)
        if what:
            # Which address it is stays here: names of the inside are nothing to learn from a refusal.
            told = f"{goal.host} is {what}" if str(address) == goal.host else f"{goal.host} leads to {what}"
            raise NotReached(Why.NOT_PUBLIC, f"{told}, and policy allows no connection to it")
    return found[:MOST_ADDRESSES]


def _resolved(goal: Goal, deadline: float) -> list[Address]:
    try:
        return [ip_address(goal.host)]
    except ValueError:
        pass
    # The system's resolver knows no time limit, so it is asked in a thread that may be left behind.
    answers: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_look_up, args=(goal, answers), daemon=True, name="look-up").start()
    try:
        answer = answers.get(timeout=max(deadline - monotonic(), 0.001))
    except Empty:
        raise NotReached(Why.TOO_SLOW, f"the address of {goal.host} was not found in time") from None
    if isinstance(answer, Exception) or not answer:
        raise NotReached(Why.NO_SUCH_NAME, f"the name {goal.host} leads to no address") from None
    return list(dict.fromkeys(ip_address(each[4][0]) for each in answer))


def _look_up(goal: Goal, answers: "SimpleQueue[Any]") -> None:
    try:
        answers.put(socket.getaddrinfo(goal.host, goal.port, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001  # whatever it is, who waits must be told
        answers.put(error)
