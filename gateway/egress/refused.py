"""Why something outside was not reached, for programs and for people."""

from enum import StrEnum


class Why(StrEnum):
    """The kinds of refusal and of failure."""

    BAD_ADDRESS = "bad_address"
    NOT_ALLOWED = "not_allowed"
    NOT_PUBLIC = "not_public"
    NO_SUCH_NAME = "no_such_name"
    NO_CONNECTION = "no_connection"
    NOT_TRUSTED = "not_trusted"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    BAD_ANSWER = "bad_answer"


HOPELESS = frozenset({Why.BAD_ADDRESS, Why.NOT_ALLOWED, Why.NOT_PUBLIC, Why.TOO_MANY_REDIRECTS})


class NotReached(Exception):
    """Something outside was not reached, or did not answer as it should. The message is a sentence without secrets.

    `may_be_heard` says whether anything of the request had left this machine.
    """

    def __init__(self, why: Why, message: str, *, may_be_heard: bool = False) -> None:
        super().__init__(message)
        self.why, self.may_be_heard = why, may_be_heard

    @property
    def is_hopeless(self) -> bool:
        """Say whether trying again would end the same: the address or policy is the reason, not the weather."""
        return self.why in HOPELESS
