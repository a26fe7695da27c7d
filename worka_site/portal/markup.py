"""Where a string becomes markup: nowhere else in the project is text called safe."""

from django.utils.safestring import SafeString, mark_safe


def markup(html: str) -> SafeString:
    """Call this markup: whoever does has escaped every word of it that did not come from our own source."""
    return mark_safe(html)  # noqa: S308 - the one place
