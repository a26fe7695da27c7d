"""GitHub's REST API: its headers, its pages, and what its refusals mean.

Source: docs.github.com/en/rest, version 2022-11-28: "Getting started with the REST API", "Using pagination in the REST
API", "Rate limits for the REST API", "Best practices for using the REST API", "Troubleshooting the REST API".
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from audit.core.codes import Code
from gateway.connector import Json, SkillFailed, UsedConnection
from gateway.outgoing import Answer, NotReached, send

VERSION = "2022-11-28"
MEDIA_TYPE = "application/vnd.github+json"
PAGE_SIZE, MOST_PAGES = 100, 5
# "If you are rate limited without a header, wait for at least one minute."
UNTOLD_WAIT_S = 60.0
LONGEST_MESSAGE = 500
_NEXT = re.compile(r'<[^>]*>;\s*rel="next"')


@dataclass(frozen=True, slots=True)
class Page:
    """What a list has, up to a limit; `is_cut` says that there is more."""

    items: list[Json]
    is_cut: bool


class GitHub:
    """The API of one connection until a deadline; every refusal is a `SkillFailed`."""

    def __init__(self, connection: UsedConnection, deadline: float) -> None:
        self._base = connection.base_url
        self._deadline = deadline
        self._headers = {
            "Accept": MEDIA_TYPE,
            "Authorization": f"Bearer {connection.settings['token']}",
            "User-Agent": "worka",
            "X-GitHub-Api-Version": VERSION,
        }

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Return what a path answers with."""
        return self._json(self._ask("GET", path, params=params), may_have_acted=False)

    def post(self, path: str, body: Json) -> Json:
        """Create something; whether it was created is not known when no whole answer comes."""
        answer = self._ask("POST", path, body=body)
        made = self._json(answer, may_have_acted=True)
        if not isinstance(made, dict):
            raise TypeError("not an object")
        return made

    def items(
        self, path: str, params: Mapping[str, str], limit: int, keep: Callable[[Json], bool] | None = None
    ) -> Page:
        """Return up to `limit` items of a list that are to be kept, of at most five pages of a hundred."""
        found: list[Json] = []
        size = PAGE_SIZE if keep else min(PAGE_SIZE, limit + 1)
        for number in range(1, MOST_PAGES + 1):
            asked = {**params, "per_page": str(size), "page": str(number)}
            answer = self._ask("GET", path, params=asked)
            found += [each for each in self._json(answer, may_have_acted=False) if keep is None or keep(each)]
            # The next page is asked for by number at our own address: a link of the answer would take the token elsewhere.
            has_more = _NEXT.search(answer.headers.get("link", "")) is not None
            if len(found) > limit or not has_more:
                return Page(found[:limit], is_cut=len(found) > limit or has_more)
        return Page(found[:limit], is_cut=True)

    def _ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Json | None = None
    ) -> Answer:
        may_have_acted = method != "GET"
        try:
            answer = send(
                method,
                self._base + path,
                headers=self._headers,
                deadline=self._deadline,
                params=params,
                json=body,
            )
        except NotReached as failure:
            effect: Any = "maybe" if failure.was_sent and may_have_acted else "none"
            raise SkillFailed(f"GitHub: {failure}", effect=effect) from None
        if answer.status not in (200, 201):
            _refused(answer, may_have_acted=may_have_acted)
        return answer

    @staticmethod
    def _json(answer: Answer, *, may_have_acted: bool) -> Any:
        try:
            return json.loads(answer.body)
        except ValueError:
            effect: Any = "maybe" if may_have_acted else "none"
            raise SkillFailed("GitHub did not answer in JSON", effect=effect) from None


def _refused(answer: Answer, *, may_have_acted: bool) -> NoReturn:
    """Say what a refusal means. Below 500 nothing was done; a limit says when to come back."""
    said = _said(answer)
    if answer.status in (403, 429) and (wait := _wait_s(answer, said)) is not None:
        raise SkillFailed(
            f"GitHub limits how often it may be asked: {said}",
            recovery=f"It may be asked again in {wait:,.0f} seconds.",
            retry_after_s=wait,
        )
    match answer.status:
        case 401:
            raise SkillFailed(
                f"GitHub does not know the connection's token (401): {said}", code=Code.UNAUTHORIZED,
                recovery="An admin of the workspace rotates the secret.",
            )  # fmt: skip
        case 403:
            raise SkillFailed(
                f"GitHub does not let the connection's account do that (403): {said}", code=Code.BAD_INPUT,
                recovery="An admin of the workspace connects an account that may.",
            )  # fmt: skip
        case 404 | 410:
            raise SkillFailed(
                f"GitHub has no such thing, or the connection's account may not see it ({answer.status}): {said}",
                code=Code.NOT_FOUND,
            )
        case 422 | 400:
            raise SkillFailed(f"GitHub refuses the input ({answer.status}): {said}", code=Code.BAD_INPUT)
        case 301 | 302 | 307 | 308:
            raise SkillFailed(
                f"GitHub says that it is somewhere else now ({answer.status}); a token is not carried there",
                code=Code.NOT_FOUND, recovery="Name the repository as it is called now.",
            )  # fmt: skip
    effect: Any = "maybe" if may_have_acted and answer.status >= 500 else "none"
    raise SkillFailed(f"GitHub answered {answer.status}: {said}", effect=effect)


def _wait_s(answer: Answer, said: str) -> float | None:
    """Return for how many seconds a limit holds, None when it is none: by `retry-after`, else by the reset of an empty budget."""
    headers = answer.headers
    if (told := _number(headers.get("retry-after"))) is not None:
        return told
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset"))
        return UNTOLD_WAIT_S if reset is None else max(1.0, reset - time.time())
    if answer.status == 429 or "rate limit" in said.lower():
        return UNTOLD_WAIT_S
    return None


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdecimal() and len(text) < 12 else None


def _said(answer: Answer) -> str:
    """Return what a refusal says: its message, and of a 422 each field with its code."""
    try:
        body = json.loads(answer.body)
        errors = body.get("errors") or []
        parts = [str(body.get("message", ""))]
        parts += [
            each
            if isinstance(each, str)
            else " ".join(str(each[name]) for name in ("resource", "field", "code", "message") if name in each)
            for each in errors[:10]
        ]
    except (ValueError, AttributeError, TypeError):
        parts = []
    return "; ".join(part for part in parts if part)[:LONGEST_MESSAGE] or "no message"
