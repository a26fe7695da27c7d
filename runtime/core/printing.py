"""What a process printed, made fit to be stored and shown."""

from governance.core.cleaning import plain
from governance.core.masking import redact_text


def fit_to_show(text: str) -> str:
    """Return a text without terminal escapes, invisible characters and what looks like a key.

    Mask whole texts: a key that spans lines keeps its middle when it is masked line by line.
    """
    return redact_text(plain(text))
