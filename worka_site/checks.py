"""System checks worka.E001…: settings that would be unsafe are found at start, not by an attacker.

Those about a deployment run with `check --deploy`, which `up` and every production entry point do.
"""

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from audit.core.addresses import is_loopback
from worka_site.env import environment

SHORTEST_SECRET = 40


@register(Tags.security, deploy=True)
def secret_key_is_lasting(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E001: sessions are signed with a long key that outlives the process."""
    env = environment()
    stored = env.within_home("secret_key")
    if not env.secret_key and not stored.is_file():
        return [
            Error(
                "There is no secret key: every restart signs everybody out.",
                hint=f"Set WORKA_SECRET_KEY (or WORKA_SECRET_KEY_FILE), or run `make up`, which writes {stored}.",
                id="worka.E001",
            )
        ]
    if len(settings.SECRET_KEY) < SHORTEST_SECRET or len(set(settings.SECRET_KEY)) < 10:
        return [
            Error(
                f"The secret key is shorter than {SHORTEST_SECRET} characters or repeats itself: sessions can be forged.",
                hint="Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))'",
                id="worka.E001",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def agents_are_sandboxed(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.W002: somebody has decided that agents run without a sandbox; worka.E002: on a machine that others reach."""
    if not settings.WORKA_ALLOW_UNSANDBOXED:
        return []
    hint = "Unset WORKA_ALLOW_UNSANDBOXED and install bubblewrap; `make doctor` says what is missing."
    if settings.WORKA_IS_LOCAL:
        return [
            checks.Warning(
                "Agents may run without a sandbox, with all rights of this user.", hint=hint, id="worka.W002"
            )
        ]
    return [Error("Agents may run without a sandbox on a server that others reach.", hint=hint, id="worka.E002")]


@register(Tags.security, deploy=True)
def others_come_by_https(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E003: what leaves this machine is encrypted."""
    if settings.WORKA_URL.startswith("https://") or is_loopback(settings.WORKA_HOST):
        return []
    return [
        Error(
            f"Worka listens on {settings.WORKA_HOST} and people would sign in over plain http.",
            hint="Put a proxy with a certificate before it and set WORKA_PUBLIC_URL=https://…, or listen on 127.0.0.1.",
            id="worka.E003",
        )
    ]


@register(Tags.security, deploy=True)
def keys_are_there(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E004: there is a key ring; worka.E005: and nobody else can read it."""
    if settings.WORKA_KEYS:
        try:
            json.loads(settings.WORKA_KEYS)
        except ValueError:
            return [
                Error(
                    "WORKA_KEYS is not JSON.",
                    hint="Give it what keys.json of another installation holds.",
                    id="worka.E004",
                )
            ]
        return []
    path: Path = settings.WORKA_KEYS_FILE
    if not path.is_file():
        return [
            Error(
                f"There is no key ring at {path}: nothing can be encrypted, signed or sealed.",
                hint="Mount it and set WORKA_KEYS_FILE, or run `make up`, which makes one at the first start.",
                id="worka.E004",
            )
        ]
    if is_open_to_others(path):
        return [Error(f"Others can read the key ring {path}.", hint=f"chmod 600 {path}", id="worka.E005")]
    return []


@register(Tags.security, deploy=True)
def homes_are_apart(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E006: no repository root lies in the folder with the keys and the data."""
    home = settings.WORKA_HOME.resolve()
    inside = [str(root) for root in settings.WORKA_REPOSITORY_ROOTS if root == home or home in root.parents]
    if not inside:
        return []
    return [
        Error(
            f"A repository root lies in WORKA_HOME: {', '.join(inside)}.",
            hint="Agents read what lies under WORKA_REPOSITORY_ROOTS; keep it apart from keys and data.",
            id="worka.E006",
        )
    ]


@register(Tags.security, deploy=True)
def hosts_are_named(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E007: the names under which Worka answers are listed."""
    if "*" in settings.ALLOWED_HOSTS or settings.DEBUG:
        return [
            Error(
                "Worka answers to any host name, or in debug mode: links in mails and resets can be forged.",
                hint="List the names in WORKA_ALLOWED_HOSTS.",
                id="worka.E007",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def door_is_where_agents_are(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """worka.E008: with agents on this machine their door is a Unix socket alone, so that a token in a log is useless."""
    if not (settings.WORKA_DOOR_ON_TCP and settings.WORKA_BACKEND == "process"):
        return []
    return [
        Error(
            "The agents' door is open on TCP, but the agents of this backend come through a Unix socket.",
            hint="Unset WORKA_DOOR_ON_TCP: whoever finds an agent's token could otherwise use it from anywhere.",
            id="worka.E008",
        )
    ]


def is_open_to_others(path: Path) -> bool:
    """Say whether the group or the world may read or write a file."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
