"""Where something may be sent to: encrypted, or on this machine."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Say whether a host name or address reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def address_problem(url: str) -> str:
    """Say why nothing may be sent to a web address, or ""; what it says never repeats the address."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in {"http", "https"} or not host:
        return "must look like https://host/path"
    if parts.username or parts.password:
        return "holds a password: give it by a setting of its own, because addresses are logged"
    if parts.scheme != "https" and not is_loopback(host):
        return "must begin with https:// unless it is on this machine"
    return ""
