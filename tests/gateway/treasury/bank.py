"""Secrets and connections of a test, made by the real actions."""

from typing import Any

from gateway.models import Connection, Secret
from gateway.treasury.connections import connect
from gateway.treasury.secrets import give_grant, put_secret
from tests.desk import POLICY
from tests.people import House
from tests.wire.github import TOKEN

GITHUB_POLICY = POLICY.replace('skills: ["desk.*"]', 'skills: ["desk.*", "github.*"]')


def put(house: House, name: str = "github-token", value: str = TOKEN, who: str = "dora") -> Secret:
    return put_secret(house.workspace, name, value, by=house.by(who), because="we work with GitHub")


def plug(
    house: House, url: str = "https://api.github.com", *, account: str = "acme-bot", access: str = "write", **more: Any
) -> Connection:
    settings = more.pop("settings", {"token": "{{secret:github-token}}"})
    return connect(
        house.workspace, "github", account, by=house.by("dora"), because="we work with GitHub", settings=settings,
        access=access, base_url=url,
    )  # fmt: skip


def equip(house: House, url: str, **more: Any) -> tuple[Secret, Connection]:
    """Put a secret, connect GitHub, and grant the one to the other."""
    secret, connection = put(house), plug(house, url, **more)
    give_grant(secret.pk, connection_id=connection.pk, by=house.by("olga"), because="the bot needs it")
    return secret, connection
