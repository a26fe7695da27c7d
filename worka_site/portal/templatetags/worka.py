"""The tags that pages are drawn with. Only these write icons, states, times, digests and strangers' text."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any

from django import template
from django.template.context import Context
from django.utils import timezone
from django.utils.safestring import SafeString

from worka_site.portal import charts, icons, times
from worka_site.portal.code import compact_json, json_lines, log_lines, text_lines, yaml_lines
from worka_site.portal.looks import Look, look, look_of
from worka_site.portal.markup import markup
from worka_site.portal.visible import plain, visible
from worka_site.portal.wording import SOURCES, dollars, without_prefix

register = template.Library()


def _request(context: Context) -> Any:
    return getattr(context, "request", None) or context.get("request")


def _now(context: Context) -> datetime:
    now = context.get("now")
    return now if isinstance(now, datetime) else timezone.now()


def _time(moment: datetime, words: str, style: str = "") -> SafeString:
    named = f' class="{escape(style)}"' if style else ""
    return markup(
        f'<time{named} datetime="{times.machine_time(moment)}" title="{times.exact(moment)}">{escape(words)}</time>'
    )


@register.simple_tag(takes_context=True)
def icon(context: Context, name: str) -> SafeString:
    """Draw an icon and remember that the page needs its symbol."""
    return markup(icons.icon(name, _request(context)))


@register.simple_tag(takes_context=True)
def icon_symbols(context: Context) -> SafeString:
    """Inline the symbols of all icons used, once, at the end of the body."""
    return markup(icons.sprite(_request(context)))


@register.simple_tag(takes_context=True)
def drawing(context: Context, svg: SafeString | str) -> SafeString:
    """Place a server-drawn SVG and remember the icons in it; text that nobody called markup is an error (`TypeError`)."""
    if not svg:
        return markup("")
    if not isinstance(svg, SafeString):
        raise TypeError("a drawing is markup made by this site, not text")
    icons.note_used(svg, _request(context))
    return svg


@register.simple_tag(takes_context=True)
def state(
    context: Context, subject: Any, of: str = "", why: str = "", pill: bool = False, word: str = ""
) -> SafeString:
    """Say a state by icon, word and colour: of a row with a machine, or of a named kind (`{% state "hold" of="effect" %}`)."""
    seen = look(of, str(subject)) if of else look_of(subject, why)
    return _state(context, seen, pill=pill, word=word)


@register.simple_tag(takes_context=True)
def marked(context: Context, tone: str, icon_name: str, word: str) -> SafeString:
    """Say something like a state that is not one: a tone, an icon, a word."""
    return _state(context, Look(tone, icon_name, word))


def _state(context: Context, seen: Look, *, pill: bool = False, word: str = "") -> SafeString:
    style = "state pill" if pill else "state"
    drawn = icons.icon(seen.icon, _request(context))
    return markup(f'<span class="{style} is-{escape(seen.tone)}">{drawn}{escape(word or seen.word)}</span>')


@register.filter
def tone(subject: Any, why: str = "") -> str:
    """Return the class of a row's tone: `is-wait`."""
    return f"is-{look_of(subject, why).tone}"


@register.filter
def tone_of(value: str, kind: str) -> str:
    """Return the class of the tone of a state of a named kind."""
    return f"is-{look(kind, str(value)).tone}"


@register.filter
def icon_of(value: str, kind: str) -> str:
    """Return the icon of a state of a named kind."""
    return look(kind, str(value)).icon


@register.filter
def word_of(value: str, kind: str) -> str:
    """Return the word of a state of a named kind."""
    return look(kind, str(value)).word


@register.simple_tag(takes_context=True)
def ago(context: Context, moment: datetime | None, otherwise: str = "") -> SafeString | str:
    """Say how long ago something was, the exact time on hover."""
    return _time(moment, times.ago(moment, _now(context))) if moment else otherwise


@register.simple_tag(takes_context=True)
def since(context: Context, moment: datetime | None, before: str = "") -> SafeString | str:
    """Say for how long something has lasted: `{% since gate.created_at "waits" %}`."""
    return _time(moment, f"{before} {times.since(moment, _now(context))}".strip()) if moment else ""


@register.simple_tag(takes_context=True)
def left(context: Context, moment: datetime | None, otherwise: str = "") -> SafeString | str:
    """Say what time is left until a moment."""
    return _time(moment, times.left(moment, _now(context))) if moment else otherwise


@register.simple_tag(takes_context=True)
def until(context: Context, moment: datetime | None) -> str:
    """Say in words how long it is until a moment: `38 min`."""
    return times.since(_now(context), moment) if moment else ""


@register.simple_tag(takes_context=True)
def clock(context: Context, moment: datetime | None, precision: str = "m", after: str = "") -> SafeString | str:
    """Say when something was or will be, in UTC; `precision`: `m`, `s`, `ms`."""
    return _time(moment, f"{times.clock(moment, _now(context), precision)} {after}".strip()) if moment else ""


@register.filter
def span(seconds: Any) -> str:
    """Say a length in seconds or as a timedelta; nothing for None."""
    return "" if seconds is None else times.span(seconds)


@register.simple_tag
def lasted(start: datetime | None, end: datetime | None) -> str:
    """Say how long it took from one moment to another; nothing if either is missing."""
    return times.span(end - start) if start and end else ""


@register.simple_tag
def digest(value: str, length: int = 12, name: str = "SHA-256") -> SafeString:
    """Show a digest, cut with an ellipsis and whole on hover; `length` 0 shows all of it."""
    text = str(value or "")
    if not length or len(text) <= length:
        return markup(f'<span class="digest">{escape(text)}</span>')
    return markup(f'<span class="digest" title="{escape(name)} {escape(text)}">{escape(text[:length])}…</span>')


@register.filter
def shown(text: Any) -> SafeString:
    """Show text that strangers may have written: escaped, hidden characters spelled out."""
    return visible("" if text is None else str(text))


@register.filter
def shown_plain(text: Any) -> str:
    """Spell out hidden characters where markup cannot stand (titles, attributes); Django escapes it."""
    return plain("" if text is None else str(text))


@register.filter
def as_json(value: Any) -> SafeString:
    """Show a JSON value as numbered, highlighted lines."""
    return json_lines(value)


@register.filter
def as_compact_json(value: Any) -> SafeString:
    """Show a JSON value on one line, cut when long."""
    return compact_json(value)


@register.filter
def as_short_json(value: Any) -> SafeString:
    """Show the beginning of a JSON value, for a line of a list."""
    return compact_json(value, length=100)


@register.filter
def without_effect(reason: str) -> str:
    """Show a decision's reason without its effect, where that is said beside it."""
    return without_prefix(reason)


@register.simple_tag
def yaml_source(text: str, hits: Iterable[int] = ()) -> SafeString:
    """Show YAML as numbered, highlighted lines; `hits` are marked."""
    return yaml_lines(text, hits=frozenset(hits or ()))


@register.filter
def as_lines(text: str) -> SafeString:
    """Show plain text as numbered lines."""
    return text_lines(text)


@register.filter
def as_log(lines: Iterable[Any]) -> SafeString:
    """Show the lines of a log (`LogLine`)."""
    return log_lines((line.at, line.text, line.is_hit) for line in lines)


@register.simple_tag
def progress(done: int, total: int, tone_name: str = "idle") -> SafeString:
    """Draw progress as segments."""
    return charts.segments(done, total, tone_name.removeprefix("is-"))


@register.filter
def count_of(amount: int, noun: str) -> str:
    """Say a figure with its noun: `{{ n|count_of:"step" }}` is "1 step" or "4 steps"; "call,calls" names the plural."""
    one, _, many = noun.partition(",")
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


@register.filter
def with_commas(amount: Any) -> str:
    """Write a whole number with commas."""
    return f"{int(amount):,}"


@register.filter
def word_of_source(source: str) -> str:
    """Say where a request came from."""
    return SOURCES.get(source, source)


@register.filter
def usd(amount: Any) -> str:
    """Write money in US dollars: `$0.41`."""
    return "" if amount is None else f"${amount:,.2f}"


@register.filter
def cost(amount: Any) -> str:
    """Write what models cost, which may be a fraction of a cent: `$0.0031`."""
    return "" if amount is None else dollars(amount)


@register.filter
def entry_of(mapping: Mapping[str, Any], key: str) -> Any:
    """Return what a mapping holds under a key, or nothing."""
    return mapping.get(key, "") if isinstance(mapping, Mapping) else ""


@register.filter
def agent_name_of(principal: str) -> str:
    """Return the name of a principal written as `kind:name`."""
    return str(principal).partition(":")[2] or str(principal)
