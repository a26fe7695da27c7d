"""The environment: the only place that reads it, with a paragraph of help for whatever is wrong in it.

Every variable may also be given as `NAME_FILE`, the path of a file that holds the value (a mounted secret).
"""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from worka_site.env_model import ModelEnvironment
from worka_site.env_outward import OutwardEnvironment

PROJECT = Path(__file__).resolve().parent.parent

# A Unix socket's path must fit into sockaddr_un.sun_path with its NUL: 108 bytes on Linux, 104 on macOS.
LONGEST_SOCKET_PATH = 103


class BadEnvironment(SystemExit):
    """The environment cannot be used; the message says which variable, why, and what to do."""


class Environment(ModelEnvironment, OutwardEnvironment):
    """Every variable that Worka reads, with its default. Unset and empty are the same."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, frozen=True, case_sensitive=True)

    home: Path = Field(
        PROJECT / ".worka",
        validation_alias="WORKA_HOME",
        description="The folder that holds all state of a laptop installation.",
    )
    port: int = Field(8000, ge=1, le=65535, validation_alias="PORT", description="The port that `make up` serves on.")
    host: str = Field("127.0.0.1", validation_alias="WORKA_HOST", description="The address that `make up` listens on.")
    database_url: str = Field(
        "",
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host:port/name; empty: the embedded PostgreSQL.",
    )
    repository_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (PROJECT,),
        validation_alias="WORKA_REPOSITORY_ROOTS",
        description="Folders, separated by ':', under which git repositories may be read.",
    )
    mcp_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        validation_alias="WORKA_MCP_ROOTS",
        description="Folders, separated by ':', of which MCP servers on this machine may be shown what they need.",
    )
    mcp_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="WORKA_MCP_HOSTS",
        description="Hosts, or host:port, at which MCP servers may be spoken to, separated by commas.",
    )
    internal_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="WORKA_INTERNAL_HOSTS",
        description="Hosts inside the network that connections may lead to, separated by commas; others must be public.",
    )

    secret_key: str = Field(
        "", validation_alias="WORKA_SECRET_KEY", description="Signs sessions; empty: the file secret_key in WORKA_HOME."
    )
    keys_file: Path | None = Field(
        None, validation_alias="WORKA_KEYS_FILE", description="The key ring; default: keys.json in WORKA_HOME."
    )
    keys: str = Field(
        "", validation_alias="WORKA_KEYS", description="The key ring itself, as JSON; wins over the file."
    )
    tree_heads: Path | None = Field(
        None,
        validation_alias="WORKA_TREE_HEADS",
        description="Where signed tree heads are kept outside the data base; default: tree_heads.jsonl in WORKA_HOME.",
    )
    sinks: Annotated[tuple[str, ...], NoDecode] = Field(
        ("json_file",),
        validation_alias="WORKA_SINKS",
        description="Where ledger entries are delivered: names of sinks, separated by commas.",
    )
    sink_file: Path | None = Field(
        None,
        validation_alias="WORKA_SINK_FILE",
        description="The file of the sink json_file; default: logs/ledger.jsonl in WORKA_HOME.",
    )

    public_url: str = Field(
        "",
        validation_alias="WORKA_PUBLIC_URL",
        description="The address that people use, e.g. https://worka.example.com; default: http://127.0.0.1:PORT.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), validation_alias="WORKA_ALLOWED_HOSTS", description="Further host names, separated by commas."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="WORKA_TRUSTED_PROXIES",
        description="Addresses of proxies whose X-Forwarded-* headers count, separated by commas.",
    )
    issuer: str = Field(
        "worka", validation_alias="WORKA_ISSUER", description="Who issues agents' tokens: the name of this deployment."
    )

    backend: str = Field("process", validation_alias="WORKA_BACKEND", description="Where agents run.")
    max_jobs: int = Field(
        4, ge=1, le=256, validation_alias="WORKA_MAX_JOBS", description="How many agents may run at once."
    )
    job_memory_mb: int = Field(
        512,
        ge=64,
        validation_alias="WORKA_JOB_MEMORY_MB",
        description="Memory of one agent with all that it starts, in MiB.",
    )
    job_processes: int = Field(
        64, ge=4, validation_alias="WORKA_JOB_PROCESSES", description="Processes and threads of one agent."
    )
    job_disk_mb: int = Field(
        64, ge=1, validation_alias="WORKA_JOB_DISK_MB", description="What one agent may write to disk, in MiB."
    )
    allow_unsandboxed: bool = Field(
        False,
        validation_alias="WORKA_ALLOW_UNSANDBOXED",
        description="Run agents without a sandbox. Anything an agent does is then done with this user's rights.",
    )
    door_on_tcp: bool = Field(
        False,
        validation_alias="WORKA_DOOR_ON_TCP",
        description="Also serve the agent's door over HTTP, for agents on other machines; refused with the backend `process`.",
    )
    agent_python: str = Field(
        "",
        validation_alias="WORKA_AGENT_PYTHON",
        description="The interpreter that agents run on; empty: the system's, or a copy of this one.",
    )
    runtime_folder: Path | None = Field(
        None,
        validation_alias="WORKA_RUNTIME_FOLDER",
        description="Where the agents' code and libraries are published for them; default: agents in WORKA_HOME.",
    )
    backend_options: Annotated[dict[str, str], NoDecode] = Field(
        {},
        validation_alias="WORKA_BACKEND_OPTIONS",
        description="The backend's own settings: name=value, separated by commas.",
    )

    memory: str = Field(
        "builtin",
        validation_alias="WORKA_MEMORY",
        description="How agents find what they remember of earlier runs: builtin (by words), meaning (by an embedder, too), mem0 (an extra, docs/how-to/memories.md), or off.",
    )
    memory_days: int = Field(
        365,
        ge=1,
        le=36500,
        validation_alias="WORKA_MEMORY_DAYS",
        description="After how many days what agents remember of a run is erased.",
    )

    tick_interval_s: float = Field(
        0.5,
        gt=0,
        le=60,
        validation_alias="WORKA_TICK_INTERVAL_S",
        description="Seconds between two looks at what is to be done.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="WORKA_LOG_LEVEL", description="The least severe line that is logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", validation_alias="WORKA_LOG_FORMAT", description="auto: text on a terminal, else JSON."
    )
    first_api_key: str = Field(
        "",
        validation_alias="WORKA_FIRST_API_KEY",
        description="An API key of the owner, made at the first start instead of a random one.",
    )
    runtime_dir: Path | None = Field(
        None, validation_alias="XDG_RUNTIME_DIR", description="Where sockets go when WORKA_HOME is too long for them."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @field_validator("repository_roots", "mcp_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("allowed_hosts", "trusted_proxies", "mcp_hosts", "internal_hosts", "sinks", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("backend_options", mode="before")
    @classmethod
    def _split_pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {name.strip(): found.strip() for name, _, found in pairs}

    @field_validator("home", "keys_file", "tree_heads", "sink_file", "runtime_folder", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        # Not resolved: what a home is called in messages and mounts is what its owner calls it.
        return value and Path(os.path.abspath(value.expanduser()))  # noqa: PTH100

    @field_validator("repository_roots", "mcp_roots", mode="after")
    @classmethod
    def _real_folders(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        missing = [str(path) for path in value if not path.expanduser().is_dir()]
        if missing:
            raise ValueError(f"no such folder: {', '.join(missing)}")
        return tuple(path.expanduser().resolve() for path in value)

    @field_validator("database_url")
    @classmethod
    def _usable_url(cls, value: str) -> str:
        if value:
            database_settings(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("it must look like https://worka.example.com")
        return value.rstrip("/")

    @property
    def url(self) -> str:
        """Where people find Worka, without a slash at the end."""
        return self.public_url or f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_embedded(self) -> bool:
        """Whether the data base is the one that Worka starts itself."""
        return not self.database_url

    def within_home(self, *names: str) -> Path:
        """Return a path inside WORKA_HOME."""
        return self.home.joinpath(*names)

    def socket_folder(self, purpose: str) -> Path:
        """Return the folder for a socket: in WORKA_HOME, or in a runtime folder where that path is too long for a socket.

        Nothing is made here; `own_socket_folder` does that for who binds the socket.
        """
        short = f"worka-{os.getuid()}-{hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]}"
        runtime = [self.runtime_dir / short] if self.runtime_dir and self.runtime_dir.is_dir() else []
        folders = [base / purpose for base in (self.within_home("run"), *runtime, Path(tempfile.gettempdir()) / short)]
        fits = (each for each in folders if len(os.fsencode(each)) + len("/.s.PGSQL.5432.lock") <= LONGEST_SOCKET_PATH)
        return next(fits, folders[-1])


def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read every setting from `variables`; raise `BadEnvironment` with help for all that is wrong at once."""
    given: dict[str, Any] = {}
    for field in Environment.model_fields.values():
        name = str(field.validation_alias)
        value = _value_of(variables, name)
        if value:
            given[name] = value
    try:
        return Environment(**given)
    except ValidationError as error:
        raise BadEnvironment(_help_for(error)) from None


@cache
def environment() -> Environment:
    """Return this process's settings, read once."""
    return read_environment(os.environ)


def set_default(name: str, value: str) -> None:
    """Set a variable for this process and its children unless it is set already."""
    os.environ.setdefault(name, value)


def quiet_libraries(home: Path) -> None:
    """Set what libraries read from the environment when they are imported: mem0 (an extra) is to tell nobody of its use."""
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ["MEM0_DIR"] = str(home / "mem0")


def server_environment(**extra: str) -> dict[str, str]:
    """Return the variables that a program of ours (never an agent) is started with: paths and language, no secrets."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TERM", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | extra


def _value_of(variables: Mapping[str, str], name: str) -> str:
    value, path = variables.get(name, ""), variables.get(f"{name}_FILE", "")
    # WORKA_KEYS_FILE is a variable of its own, with the same meaning as the file form of WORKA_KEYS.
    if not path or name == "WORKA_KEYS":
        return value
    if value:
        raise BadEnvironment(
            f"Both {name} and {name}_FILE are set. Unset one of them: two places for one value drift apart."
        )
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvironment(
            f"{name}_FILE says that the value of {name} is in {path}, but that file cannot be read ({error}).\n"
            f"Mount or create it, readable for this user, or set {name} itself."
        ) from None


def _help_for(error: ValidationError) -> str:
    fields = {str(field.validation_alias): field for field in Environment.model_fields.values()}
    lines = ["Worka cannot start: the environment is wrong."]
    for fault in error.errors():
        name = str(fault["loc"][0]) if fault["loc"] else "?"
        field = fields.get(name)
        shown = "(not shown)" if re.search(r"KEY|URL|SECRET|HEADERS|ENDPOINT", name) else repr(fault["input"])
        lines += ["", f"{name} = {shown}", f"  What is wrong: {fault['msg'].removeprefix('Value error, ')}."]
        if field is not None:
            lines.append(f"  What it is: {field.description}")
            lines.append(
                f"  Unset it to use the default: {field.default!s}."
                if field.default not in ("", None)
                else "  Unset it to do without."
            )
    return "\n".join(lines)


def database_settings(url: str) -> dict[str, Any]:
    """Turn `postgresql://user:password@host:port/name?sslmode=…` into Django's setting; ValueError says what is wrong.

    A socket folder is written as `?host=/folder`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("it must begin with postgresql:// (no other data base is supported)")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ValueError("it must end with the name of a data base, e.g. postgresql://worka@db.example.com/worka")
    found: dict[str, Any] = {
        "ENGINE": "worka_site.pooled",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or query.pop("port", "") or ""),
    }
    return found | {"OPTIONS": query}


def own_folder(path: Path, mode: int = 0o700) -> Path:
    """Make a folder of ours with exactly `mode`, or raise `BadEnvironment` if somebody else owns it or it is a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=mode, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise BadEnvironment(
            f"{path} is not a folder of this user. Remove it, or set WORKA_HOME to a folder of your own."
        )
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)
    return path


def own_socket_folder(path: Path, mode: int = 0o700) -> Path:
    """Make a folder for a socket, below one that nobody else may enter; refuses like `own_folder`."""
    own_folder(path.parent)
    return own_folder(path, mode)
