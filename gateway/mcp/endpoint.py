"""Where an MCP server is and what it may see: checked against what this installation allows, and nothing by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.cage import PROGRAMS, SYSTEM

NEVER_SHOWN = ("/proc", "/sys", "/dev", "/run", "/var/run")
MOST_FILES = 32
MOST_WORDS = 64
LONGEST_WORD = 4096


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An MCP server to speak to. `files` maps places of this machine to where the caged program sees them, read-only.

    `headers` go with every request over HTTP: the credentials of a connection, which `repr` does not show.
    """

    transport: Literal["stdio", "http"]
    command: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    hides: tuple[Path, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def checked(
    transport: str,
    *,
    command: Any = (),
    files: Any = None,
    url: str = "",
    roots: Any = (),
    hosts: Any = (),
    home: Any = "",
) -> Endpoint:
    """Return the endpoint if this installation allows it; refuses with `invalid` or `forbidden`.

    `roots` are the folders that caged servers may be shown, `hosts` those that may be spoken to, `home` is Worka's own.
    It is asked when a server is added and again before each conversation: a link may point elsewhere by then.
    """
    if transport == "http":
        return Endpoint("http", url=_checked_url(url, frozenset(hosts)))
    if transport != "stdio":
        raise Refused("a server speaks `stdio` or `http`", code=Code.INVALID)
    words = tuple(command)
    if not words or len(words) > MOST_WORDS or not all(_is_word(word) for word in words):
        raise Refused("a command is a list of words, the program first", code=Code.INVALID)
    own = Path(home).resolve()
    allowed = [Path(root).resolve() for root in roots]
    places = dict(files or {})
    if len(places) > MOST_FILES:
        raise Refused(f"a server is shown at most {MOST_FILES} places", code=Code.INVALID)
    # What is mounted is what was checked, not what a link may point to a moment later.
    real = {_checked_place(outside, inside, allowed, own): inside for outside, inside in places.items()}
    if len(real) < len(places):
        raise Refused("a place is shown once", code=Code.INVALID)
    _check_program(words[0], places)
    return Endpoint("stdio", command=words, files=real, hides=(own,))


def _is_word(word: Any) -> bool:
    return isinstance(word, str) and 0 < len(word) <= LONGEST_WORD and "\x00" not in word


def _checked_place(outside: str, inside: str, allowed: list[Path], own: Path) -> str:
    for place in (outside, inside):
        if not _is_word(place) or not place.startswith("/") or ".." in place.split("/"):
            raise Refused(f"{place!r:.80} is no absolute path", code=Code.INVALID)
    if Path(inside) == Path("/") or any(Path(inside).is_relative_to(place) for place in (*NEVER_SHOWN, *SYSTEM)):
        raise Refused(f"nothing can be shown at {inside:.80}", code=Code.INVALID, recovery="Choose another place.")
    found = Path(outside).resolve()
    if found.is_relative_to(own):
        raise Refused(f"{outside:.80} lies in Worka's own home", code=Code.FORBIDDEN, recovery="Keep them apart.")
    if not any(found.is_relative_to(root) for root in allowed):
        raise Refused(
            f"{outside:.80} lies under no folder that MCP servers may be shown",
            code=Code.FORBIDDEN,
            recovery="Name its folder in WORKA_MCP_ROOTS and start again.",
        )
    if not found.exists():
        raise Refused(f"there is no {outside:.80}", code=Code.INVALID)
    return str(found)


def _check_program(program: str, places: Mapping[str, str]) -> None:
    if "/" not in program:
        if any((Path(folder) / program).is_file() for folder in PROGRAMS.split(":")):
            return
    elif any(Path(program).is_relative_to(place) for place in (*SYSTEM, *places.values())):
        return
    raise Refused(
        f"the server would not see its program {program:.80}",
        code=Code.INVALID,
        recovery="Name a program of the system, or show it the folder that holds it.",
    )


def _checked_url(url: str, hosts: frozenset[str]) -> str:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.fragment or not url.isprintable() or " " in url:
        raise Refused("that is no http address", code=Code.INVALID, recovery="Give an address like https://host/mcp.")
    if parts.username is not None or parts.password is not None:
        raise Refused("an address carries no credentials", code=Code.INVALID, recovery="Leave them out.")
    named = f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"
    if not {host, named} & hosts:
        raise Refused(
            f"MCP servers may not be spoken to at {host:.80}",
            code=Code.FORBIDDEN,
            recovery="Name the host in WORKA_MCP_HOSTS and start again.",
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise Refused("an MCP server on another machine is spoken to by https", code=Code.HTTPS_REQUIRED)
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
