"""People sign in and out: each time an entry of the ledger; who fails too often waits.

Failures count by network address and by name. A name alone bears ten times as many, or anybody could keep a person out,
from anywhere, with a handful of wrong passwords.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest
from limits import RateLimitItem, RateLimitItemPerMinute

from audit.ledger import record
from audit.principals import SYSTEM, person
from gateway.api.credentials import address_of
from gateway.limiting import count_failure, seconds_shut

LONGEST_NAME = 150
FROM_ADDRESS = RateLimitItemPerMinute(10, 5)
OF_NAME = RateLimitItemPerMinute(100, 5)
# Whoever has one address of an IPv6 network this long has them all (RFC 6177).
IPV6_NETWORK = 64


def wait_before(username: str, request: HttpRequest | None) -> int:
    """Return the seconds that this name, or whoever comes from this address, must wait before the next try; 0 for none."""
    return seconds_shut(_counted(username, request))


def listen() -> None:
    """Write down from now on who signs in, who signs out, and who is refused."""
    user_logged_in.connect(_signed_in, dispatch_uid="worka.sign_in")
    user_logged_out.connect(_signed_out, dispatch_uid="worka.sign_out")
    user_login_failed.connect(_refused, dispatch_uid="worka.sign_in_refused")


def _signed_in(request: HttpRequest | None, user: Any, **_: Any) -> None:
    record("user.sign_in", user, by=person(user), address=_address(request))


def _signed_out(request: HttpRequest | None, user: Any, **_: Any) -> None:
    if user is not None:
        record("user.sign_out", user, by=person(user), address=_address(request))


def _refused(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    name = str(credentials.get("username") or "")[:LONGEST_NAME]
    users = get_user_model()._default_manager
    known = users.filter(**{users.model.USERNAME_FIELD: name}).first()
    counted = [count_failure(who, most) for who, most in _counted(name, request).items()]
    is_last = True in counted
    # Of an unknown name nothing is kept: people type their passwords there.
    record(
        "user.sign_in_refused",
        known or "auth.user:unknown",
        by=SYSTEM,
        address=_address(request),
        is_shut_out=is_last,
        because="too many failed sign-ins" if is_last else "name or password is wrong",
    )


def _counted(username: str, request: HttpRequest | None) -> dict[str, RateLimitItem]:
    """Return what a try counts for, and how many failures each may have in a while."""
    name = username.strip().casefold()[:LONGEST_NAME]
    counted: dict[str, RateLimitItem] = {f"sign-in:name:{name}": OF_NAME} if name else {}
    if request is not None:
        counted[f"sign-in:address:{_network(_address(request))}"] = FROM_ADDRESS
    return counted


def _network(address: str) -> str:
    found = ip_address(address)
    if isinstance(found, IPv4Address):
        return address
    if found.ipv4_mapped:  # a socket for both families writes them so; their network would be all of IPv4
        return str(found.ipv4_mapped)
    return str(ip_network((found, IPV6_NETWORK), strict=False))


def _address(request: HttpRequest | None) -> str:
    return "" if request is None else address_of(request)
