"""Words of agents, connectors and requests, fit for the ledger, for rows in clear and for people."""

from collections.abc import Iterable
from typing import Any

from governance.core.cleaning import CleaningRules, clean_text, clean_value
from governance.core.masking import redact

LONGEST_BECAUSE = 500
LONGEST_ERROR = 2000


def told(text: str, maskers: Iterable[str], most: int = LONGEST_BECAUSE) -> str:
    """Return somebody's words cleaned and masked, in at most `most` characters; whatever becomes a reason goes through here."""
    return clean_text(text, CleaningRules(maskers=frozenset(maskers), max_chars=most)).strip()


def harmless(value: Any, maskers: Iterable[str]) -> Any:
    """Return the twin of a JSON value that people may read: masked, fields named like secrets too, cleaned and bounded."""
    names = frozenset(maskers)
    return clean_value(redact(value, names), CleaningRules(maskers=names))
