"""Mask what must not stand anywhere in clear: things that look like keys, known secrets, addresses of people."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import re2

TOKEN = "token"  # noqa: S105  # the name of a masker
EMAIL = "email"
MASKERS = frozenset({TOKEN, EMAIL})

# RE2 everywhere over foreign text: it takes linear time whatever the text. If there is a group, only it is masked.
_TOKENS: Mapping[str, str] = {
    "private_key": r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?s:.)*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|(?s:.)*)",
    "url_password": r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@]*:([^\s/@]+)@",
    "aws_key": r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "aws_secret": r"(?i)aws[a-z0-9_\- ]{0,30}(?:secret|key)[a-z0-9_\- ]{0,20}[\"']?\s{0,3}[:=]?\s{0,3}[\"']?([A-Za-z0-9/+]{40})",
    "github_token": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "gitlab_token": r"\bgl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_\-]{16,}",
    "slack_token": r"\bx(?:ox[abceoprs]|app)-[A-Za-z0-9\-]{10,}",
    "slack_webhook": r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_\-]+",
    "model_key": r"\bsk-[A-Za-z0-9_\-]{16,}",
    "payment_key": r"\b(?:[sr]k|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}",
    "worka_key": r"\bwk_[A-Za-z0-9]{1,64}_[A-Za-z0-9_\-]{8,}",
    "google_key": r"\bAIza[A-Za-z0-9_\-]{30,}",
    "registry_token": r"\b(?:npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_\-]{30,}|hf_[A-Za-z0-9]{30,}|dckr_pat_[A-Za-z0-9_\-]{20,})",
    "jwt": r"\beyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]*",
    "authorization": r"(?i)\b(?:proxy-)?authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:basic|bearer|digest|token|negotiate)\s{1,3})?([^\s\"',;\[\]]{6,})",
    "bearer": r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/=\-]{12,})",
    "password": r"(?i)(?:password|passwd|passphrase|secret|api[_\-]?key|(?:access|auth|refresh|bot|id)[_\-]?token|private[_\-]?key)[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\s\"',;\[\]]{6,})",
}
_EMAILS: Mapping[str, str] = {
    "email": r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)*\.[A-Za-z]{2,}",
}
_SECRET_FIELD = re.compile(
    r"(?i)(?:^|[_.\- ])(?:password|passwd|passphrase|secret|token|api_?key|authorization|private_?key|credentials?|cookie)$"
)
_SHORTEST_SECRET = 6


class _Masker:
    """A set of patterns: one pass says which of them occur, and only those are replaced."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self.named = [(kind, re2.compile(pattern)) for kind, pattern in patterns.items()]
        self.all = re2.Set.SearchSet()
        for pattern in patterns.values():
            self.all.Add(pattern)
        self.all.Compile()

    def mask(self, text: str) -> str:
        for index in sorted(self.all.Match(text) or ()):
            kind, pattern = self.named[index]
            text = pattern.sub(lambda found, kind=kind: _masked(found, kind), text)
        return text


def _masked(found: Any, kind: str) -> str:
    whole: str = found.group(0)
    if not found.re.groups:
        return f"[masked:{kind}]"
    start, end = found.start(1) - found.start(), found.end(1) - found.start()
    return f"{whole[:start]}[masked:{kind}]{whole[end:]}"


_BY_NAME = {TOKEN: _Masker(_TOKENS), EMAIL: _Masker(_EMAILS)}


def redact_text(text: str, maskers: Iterable[str] = (TOKEN,), secrets: Iterable[str] = ()) -> str:
    """Mask known secrets (also percent-encoded or in base64) and what the named maskers know, as `[masked:<kind>]`.

    Known maskers are `token` and `email`; an unknown name is a KeyError. Secrets below six characters are left alone.
    """
    known = tuple(sorted(set(secrets)))
    if known:
        text = _of_secrets(known).sub("[masked:secret]", text)
    for name in sorted(set(maskers), reverse=True):
        text = _BY_NAME[name].mask(text)
    return text


def redact(value: Any, maskers: Iterable[str] = (TOKEN,), secrets: Iterable[str] = ()) -> Any:
    """Return the redacted twin of a JSON value: all its text masked, and whole fields that are named like secrets."""
    names, known = tuple(maskers), tuple(secrets)
    match value:
        case str():
            return redact_text(value, names, known)
        case dict():
            return {
                redact_text(key, names, known): _redact_field(key, item, names, known) for key, item in value.items()
            }
        case list() | tuple():
            return [redact(item, names, known) for item in value]
    return value


def is_secret_field(name: str) -> bool:
    """Say whether a field of this name holds a secret."""
    return bool(_SECRET_FIELD.search(name))


def _redact_field(key: str, item: Any, maskers: tuple[str, ...], secrets: tuple[str, ...]) -> Any:
    is_plain = isinstance(item, str | int | float) and not isinstance(item, bool)
    if TOKEN in maskers and is_plain and item != "" and is_secret_field(key):
        return "[masked:field]"
    return redact(item, maskers, secrets)


@lru_cache(maxsize=64)
def _of_secrets(known: tuple[str, ...]) -> re.Pattern[str]:
    forms: set[str] = set()
    for secret in known:
        raw = secret.encode("utf-8", "surrogatepass")
        forms |= {secret, quote(raw, safe=""), binascii.hexlify(raw).decode()}
        forms |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    # The longest first, so that no secret is masked by halves. Nothing to mask must match nothing, not everything.
    wanted = sorted((form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True)
    return re.compile("|".join(re.escape(form) for form in wanted) or r"(?!)")
