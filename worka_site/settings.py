"""Every setting, once. What may differ between installations comes from `env.py`."""

import secrets
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from audit.core.addresses import is_loopback
from governance.core.prices import Price
from worka_site.env import PROJECT, database_settings, environment, quiet_libraries
from worka_site.logs import logging_settings

_env = environment()
quiet_libraries(_env.home)

LOCK_TIMEOUT_S = 15


def _secret_key() -> str:
    # `up` makes the file at the first start. Without one, sessions last as long as the process: never a known key.
    stored = _env.within_home("secret_key")
    return _env.secret_key or (
        stored.read_text(encoding="utf-8").strip() if stored.is_file() else secrets.token_urlsafe(48)
    )


def _database() -> dict[str, Any]:
    if _env.is_embedded:
        found = database_settings(f"postgresql://worka@/worka?host={_env.socket_folder('pg')}")
    else:
        found = database_settings(_env.database_url)
    # Under ASGI each request has a thread of its own, so connections come from a pool of the process.
    # A connection that the server has closed (a restart) is found before it is given out, and replaced.
    found["OPTIONS"] |= {"pool": {"min_size": 2, "max_size": 40, "timeout": 10}}
    # Statements that come again are planned once per connection. A pooler that hands out connections per transaction and
    # knows no prepared statements (PgBouncer before 1.21) needs `?prepare_threshold=off` in DATABASE_URL.
    prepare = found["OPTIONS"].pop("prepare_threshold", "5")
    found["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": None if prepare == "off" else int(prepare)}
    # Nothing waits for a row for ever: who holds it that long is stuck. What DATABASE_URL says comes last, and wins.
    given = found["OPTIONS"].get("options", "")
    found["OPTIONS"]["options"] = f"-c lock_timeout={LOCK_TIMEOUT_S}s {given}".strip()
    return found | {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}


# --- The deployment -------------------------------------------------------------------------------------------------

WORKA_VERSION = "0.1.0"
WORKA_HOME = _env.home
WORKA_URL = _env.url
WORKA_ISSUER = _env.issuer
# Plain http is for people on this machine only.
WORKA_IS_LOCAL = is_loopback(_env.host) and not WORKA_URL.startswith("https://")
WORKA_IS_EMBEDDED = _env.is_embedded
WORKA_HOST = _env.host
WORKA_PORT = _env.port
WORKA_TRUSTED_PROXIES = _env.trusted_proxies
WORKA_FIRST_API_KEY = _env.first_api_key

# --- Keys and the ledger --------------------------------------------------------------------------------------------

WORKA_KEYS = _env.keys
WORKA_KEYS_FILE = _env.keys_file or _env.within_home("keys.json")
# Signed tree heads outside the data base: a ledger that was cut or replaced does not match them.
WORKA_TREE_HEADS = _env.tree_heads or _env.within_home("tree_heads.jsonl")
WORKA_SINKS = _env.sinks
WORKA_SINK_FILE = _env.sink_file or _env.within_home("logs", "ledger.jsonl")
WORKA_SINK_CA_FILE = _env.sink_ca_file
WORKA_WEBHOOK_URL = _env.webhook_url
WORKA_WEBHOOK_SECRET = _env.webhook_secret
WORKA_SYSLOG_ADDRESS = _env.syslog_address

# --- Traces: off until there is somewhere to send them ---------------------------------------------------------------

WORKA_OTLP_ENDPOINT = _env.otlp_endpoint
WORKA_OTLP_HEADERS = _env.otlp_headers
WORKA_LANGFUSE_HOST = _env.langfuse_host
WORKA_LANGFUSE_PUBLIC_KEY = _env.langfuse_public_key
WORKA_LANGFUSE_SECRET_KEY = _env.langfuse_secret_key
WORKA_TRACING_CA_FILE = _env.tracing_ca_file
WORKA_IS_TRACED = bool(WORKA_OTLP_ENDPOINT or WORKA_LANGFUSE_HOST)

# --- Agents ---------------------------------------------------------------------------------------------------------

WORKA_BACKEND = _env.backend
WORKA_MAX_JOBS = _env.max_jobs
WORKA_JOB_LIMITS = {
    "memory_bytes": _env.job_memory_mb * 2**20,
    "pids": _env.job_processes,
    "disk_bytes": _env.job_disk_mb * 2**20,
}
WORKA_ALLOW_UNSANDBOXED = _env.allow_unsandboxed
WORKA_BACKEND_OPTIONS = _env.backend_options
WORKA_JOBS_FOLDER = _env.within_home("jobs")
WORKA_DOOR_SOCKET = _env.socket_folder("door") / "door.sock"
WORKA_DOOR_ON_TCP = _env.door_on_tcp
# What agents run on is copied there, readable for them: a checkout below a private home is not.
WORKA_RUNTIME_FOLDER = _env.runtime_folder or _env.within_home("agents")
WORKA_AGENT_PACKAGES = {"worka": PROJECT / "sdk" / "worka", "runtime.agents": PROJECT / "runtime" / "agents"}
WORKA_AGENT_REQUIREMENTS = PROJECT / "requirements" / "agent.txt"
WORKA_AGENT_PYTHON = _env.agent_python
WORKA_PLAYBOOKS = PROJECT / "playbooks"
WORKA_REPOSITORY_ROOTS = _env.repository_roots
WORKA_MCP_ROOTS = _env.mcp_roots
WORKA_MCP_HOSTS = _env.mcp_hosts
WORKA_INTERNAL_HOSTS = _env.internal_hosts
WORKA_MEMORY = _env.memory
WORKA_MEMORY_DAYS = _env.memory_days
WORKA_TICK_INTERVAL_S = _env.tick_interval_s

# --- The model ------------------------------------------------------------------------------------------------------

WORKA_MODEL = _env.model
WORKA_MODEL_PROVIDER = _env.model_provider
WORKA_MODEL_URL = _env.model_url
WORKA_MODEL_KEY = _env.model_key
WORKA_MODEL_PRICES = {pattern: Price.from_json(price) for pattern, price in _env.model_prices.items()}
WORKA_MODEL_BETAS = _env.model_betas
WORKA_MODEL_TIMEOUT_S = _env.model_timeout_s
WORKA_EMBEDDER_URL = _env.embedder_url
WORKA_EMBEDDER_KEY = _env.embedder_key
WORKA_EMBEDDER_MODEL = _env.embedder_model
WORKA_EMBEDDER_CLOSENESS = _env.embedder_closeness

# --- Django ---------------------------------------------------------------------------------------------------------

DEBUG = False
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", urlsplit(WORKA_URL).hostname or "", *_env.allowed_hosts]
CSRF_TRUSTED_ORIGINS = [WORKA_URL]

INSTALLED_APPS = [
    # First: its templates are the look of the admin.
    "worka_site.portal",
    "worka_site.portal.console.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "audit",
    "governance",
    "runtime",
    "gateway",
    # Last: its commands (up, doctor) and checks see everything above.
    "worka_site",
]

MIDDLEWARE = [
    "worka_site.middleware.CorrelationMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "worka_site.urls"
ASGI_APPLICATION = "worka_site.asgi.application"
DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ATOMIC_REQUESTS = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]

STATIC_URL = "/static/"
STATIC_ROOT = _env.within_home("static")
STATICFILES_DIRS = [PROJECT / "static"]

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Bodies are small; files go through the agent's door, which has limits of its own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_100_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_100_000

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- The browser ----------------------------------------------------------------------------------------------------

_https = WORKA_URL.startswith("https://")
SESSION_COOKIE_NAME = "__Host-worka" if _https else "worka"
SESSION_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_NAME = "__Host-worka-csrf" if _https else "worka-csrf"
CSRF_COOKIE_SECURE = _https
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = False  # The proxy's work: an answer in plain http would say that there is something here.
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False  # Other names of the same domain are not ours to decide about.
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https and _env.trusted_proxies else None
X_FRAME_OPTIONS = "DENY"

# Everything comes from this site; nothing is inline. A page that needs more is wrong.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        "manifest-src": [SELF],
    }
}

# --- REST -----------------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "gateway.api.schema.Operation",
    "EXCEPTION_HANDLER": "gateway.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Worka",
    "VERSION": WORKA_VERSION,
    "DESCRIPTION": "Runs, approvals, policy and proof.",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["gateway.api.schema.complete"],
    "SCHEMA_COERCE_PATH_PK": False,
}

LOGGING_CONFIG = "worka_site.logs.configure"
LOGGING = logging_settings(level=_env.log_level, style=_env.log_format)
