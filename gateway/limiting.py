"""Rate limits per key or person, by a moving window in this process's memory."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from audit.core.codes import Code
from audit.core.refusals import Refused

_limiter = MovingWindowRateLimiter(MemoryStorage())


class RateLimited(Refused):
    """Too many requests in a minute; `window` says what is left (nothing) and when there is more."""

    code = Code.RATE_LIMITED
    recovery = "Wait as long as Retry-After says."

    def __init__(self, window: "Window") -> None:
        super().__init__(f"more than {window.limit} requests a minute", retry_after_s=window.reset_s)
        self.window = window


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a rate: requests a minute, how many remain, and in how many seconds the oldest is forgotten."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


def count_request(who: str, per_minute: int) -> Window:
    """Count a request, or refuse with rate_limited and the seconds to wait."""
    item = RateLimitItemPerMinute(per_minute)
    is_within = _limiter.hit(item, who)
    stats = _limiter.get_window_stats(item, who)
    reset = max(1, math.ceil(stats.reset_time - time.time()))
    window = Window(per_minute, max(0, stats.remaining), reset)
    if not is_within:
        raise RateLimited(window)
    return window


def count_failure(who: str, most: RateLimitItem) -> bool:
    """Count a failure of somebody; say whether it was the last that is allowed for now."""
    _limiter.hit(most, who)
    return not _limiter.test(most, who)


def seconds_shut(who: Mapping[str, RateLimitItem]) -> int:
    """Return for how many seconds one of these has failed too often to try again; 0 when none has."""
    shut = [
        _limiter.get_window_stats(most, each).reset_time for each, most in who.items() if not _limiter.test(most, each)
    ]
    return max((max(1, math.ceil(reset - time.time())) for reset in shut), default=0)
