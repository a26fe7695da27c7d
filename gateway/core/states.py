"""The machines of the treasury, each a table: versions of secrets, grants, connections."""

from enum import StrEnum

from audit.core.machine import Machine


class VersionState(StrEnum):
    ACTIVE = "active"
    OVERLAPPING = "overlapping"
    RETIRED = "retired"
    REVOKED = "revoked"


# What can still be read; in the other states the ciphertext is erased.
READABLE_VERSION = (VersionState.ACTIVE, VersionState.OVERLAPPING)
SECRET_VERSION = Machine(
    "secret_version",
    {VersionState.ACTIVE: "store"},
    {
        (VersionState.ACTIVE, "supersede"): VersionState.OVERLAPPING,
        (VersionState.OVERLAPPING, "retire"): VersionState.RETIRED,
        (VersionState.ACTIVE, "revoke"): VersionState.REVOKED,
        (VersionState.OVERLAPPING, "revoke"): VersionState.REVOKED,
    },
)


class GrantState(StrEnum):
    GIVEN = "given"
    WITHDRAWN = "withdrawn"


GRANT = Machine("grant", {GrantState.GIVEN: "give"}, {(GrantState.GIVEN, "withdraw"): GrantState.WITHDRAWN})


class ConnectionState(StrEnum):
    CONNECTED = "connected"
    DISABLED = "disabled"
    DISCONNECTED = "disconnected"


CONNECTION = Machine(
    "connection",
    {ConnectionState.CONNECTED: "connect"},
    {
        (ConnectionState.CONNECTED, "disable"): ConnectionState.DISABLED,
        (ConnectionState.DISABLED, "enable"): ConnectionState.CONNECTED,
        (ConnectionState.CONNECTED, "disconnect"): ConnectionState.DISCONNECTED,
        (ConnectionState.DISABLED, "disconnect"): ConnectionState.DISCONNECTED,
    },
)
