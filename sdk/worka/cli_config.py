"""Where the command line finds its server and its key: options, environment, or the laptop's own credentials."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worka.client import Client
from worka.errors import Misconfigured

HERE = "http://127.0.0.1:8000"


def client_from(environ: Mapping[str, str] = os.environ, *, url: str = "", person: str = "") -> Client:
    """Return a client for the configured server, or raise Misconfigured with the ways to configure one.

    The key is `WORKA_API_KEY`, or the content of `WORKA_API_KEY_FILE`, or, with `person`, that of a person in
    `$WORKA_HOME/credentials.json`. It is never an option: other users see a command line.
    """
    if person:
        credentials = _credentials(environ)
        return Client(
            url or environ.get("WORKA_URL", "") or str(credentials.get("url") or HERE), _key_of(credentials, person)
        )
    key = environ.get("WORKA_API_KEY", "").strip()
    file = environ.get("WORKA_API_KEY_FILE", "")
    if not key and file:
        try:
            key = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"WORKA_API_KEY_FILE cannot be read: {error}") from None
    if not key:
        ways = "set WORKA_API_KEY or WORKA_API_KEY_FILE, or name one of the laptop's people: --as requester"
        raise Misconfigured(f"there is no API key: {ways}")
    return Client(url or environ.get("WORKA_URL", "") or HERE, key)


def _credentials(environ: Mapping[str, str]) -> dict[str, Any]:
    path = Path(environ.get("WORKA_HOME") or ".worka") / "credentials.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"{path} cannot be read ({error}); start Worka here with `make up`, or set WORKA_HOME"
        ) from None
    if not isinstance(found, dict):
        raise Misconfigured(f"{path} is not the file that `make up` writes")
    return found


def _key_of(credentials: Mapping[str, Any], person: str) -> str:
    people = {
        str(entry.get("username")): str(entry.get("api_key") or "")
        for entry in credentials.get("people") or ()
        if isinstance(entry, dict)
    }
    if not people.get(person):
        raise Misconfigured(f"there is no key of {person!r}; there are: {', '.join(sorted(people)) or 'nobody'}")
    return people[person]
