"""Get pages and other texts from hosts that policy lists, as something to read."""

from collections.abc import Callable
from email.message import Message
from time import monotonic

from audit.core.codes import Code
from gateway.connector import CallContext, Connector, Json, Outcome, SkillFailed, SkillSpec
from gateway.egress.addresses import LONGEST_URL, goal_of
from gateway.egress.fetching import Fetched, fetch
from gateway.egress.refused import NotReached, Why
from gateway.pages import Page, bounded, decoded, read_html
from governance.core.egress import Egress, may_reach
from governance.core.wording import excerpt

BYTES, BYTES_MOST = 1024 * 1024, 4 * 1024 * 1024
TEXT_MOST = 256 * 1024
READING_S = 5.0
LIST_IT = "Whoever writes policy can list the host under `egress`, in the workspace's manifest and the platform's."

HTML = frozenset({"text/html", "application/xhtml+xml"})
# What is text although it is not called that.
TEXTUAL = HTML | frozenset(
    {"application/json", "application/xml", "application/javascript", "application/yaml", "application/x-ndjson"}
)
SUFFIXES = ("+json", "+xml", "+yaml")
ACCEPT = "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, application/xml;q=0.8"

TEXT: Json = {"type": "string"}


def _closed(properties: Json, required: list[str] | None = None) -> Json:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


class Http(Connector):
    """Read the web where policy allows it: a GET, bounded in size and time, that takes no cookies and carries no keys."""

    skills = (
        SkillSpec(
            name="http.get",
            description="Get a page or another text from the web, as readable text with its headings and links.",
            input_schema=_closed(
                {
                    "url": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": LONGEST_URL,
                        "description": "The address, such as https://example.com/page. All of it is seen outside.",
                    },
                    "max_bytes": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": BYTES_MOST,
                        "default": BYTES,
                        "description": "What is larger is cut after so many bytes.",
                    },
                },
                ["url"],
            ),
            output_schema=_closed(
                {
                    "url": {"type": "string", "description": "Where it came from, after redirects."},
                    "status": {"type": "integer"},
                    "media_type": TEXT,
                    "title": {"type": ["string", "null"]},
                    "text": TEXT,
                    "headings": {
                        "type": "array",
                        "items": _closed({"level": {"type": "integer", "minimum": 1, "maximum": 6}, "text": TEXT}),
                    },
                    "links": {"type": "array", "items": _closed({"text": TEXT, "href": TEXT})},
                    "truncated": {"type": "boolean"},
                }
            ),
            side_effect="read_only",
            labels=frozenset({"untrusted_output", "sends_outside"}),
            idempotent=True,
            timeout_s=30,
        ),
    )

    def call(self, verb: str, arguments: Json, context: CallContext) -> Outcome:
        """Perform a skill on what policy lets this call reach."""
        verbs: dict[str, Callable[[Json, CallContext], Json]] = {"get": _get}
        if verb not in verbs:
            raise SkillFailed(f"http has no skill {verb!r}", code=Code.BAD_INPUT)
        try:
            return Outcome(verbs[verb](arguments, context))
        except SkillFailed:
            raise
        except NotReached as failure:
            raise SkillFailed(str(failure), code=_code_of(failure), recovery=_recovery_of(failure)) from None
        except Exception as error:
            raise SkillFailed(f"http.{verb} was given what it cannot read ({type(error).__name__})") from error

    def out_of_bounds(self, verb: str, arguments: Json, egress: Egress) -> str:
        """Say that policy does not list the host of an address."""
        url = arguments.get("url")
        return _where_not(url, egress) if isinstance(url, str) else ""


def _where_not(url: str, egress: Egress) -> str:
    try:
        goal = goal_of(url)
    except NotReached:
        return ""  # said with its reason when it is performed: an address that is none is no matter of policy
    reach = may_reach(egress, goal.scheme, goal.host, goal.port)
    return "" if reach.is_allowed else f"{reach.because}. {LIST_IT}"


def _get(arguments: Json, context: CallContext) -> Json:
    most = arguments.get("max_bytes", BYTES)
    fetched = fetch(
        arguments["url"], context.egress, deadline=context.deadline, most_bytes=most, headers={"Accept": ACCEPT}
    )
    media_type, charset = _type_of(fetched)
    is_html = media_type in HTML
    text = decoded(fetched.content, charset, is_html=is_html)
    if is_html:
        deadline = min(context.deadline, monotonic() + READING_S)
        page = read_html(text, fetched.url, most_text=TEXT_MOST, deadline=deadline)
    else:
        kept, is_cut = bounded(text, TEXT_MOST)
        page = Page(text=kept, is_cut=is_cut)
    return {
        "url": fetched.url,
        "status": fetched.status,
        "media_type": media_type,
        "title": page.title or None,
        "text": page.text,
        "headings": page.headings,
        "links": page.links,
        "truncated": fetched.is_cut or page.is_cut,
    }


def _type_of(fetched: Fetched) -> tuple[str, str]:
    """Return media type and charset; what is no text is refused by its name."""
    head = Message()
    head["Content-Type"] = fetched.headers.get("content-type", "")
    charset = head.get_param("charset")
    media_type = str(head["Content-Type"]).partition(";")[0].strip().lower()
    if not media_type:
        media_type = "application/octet-stream" if b"\x00" in fetched.content[:4096] else "text/plain"
    if not (media_type.startswith("text/") or media_type in TEXTUAL or media_type.endswith(SUFFIXES)):
        raise SkillFailed(
            f"it is {excerpt(media_type)}, which is no text", code=Code.BAD_INPUT, recovery="Ask for a page or a text."
        )
    return excerpt(media_type), charset if isinstance(charset, str) else ""


def _code_of(failure: NotReached) -> Code:
    return Code.BAD_INPUT if failure.is_hopeless else Code.SKILL_FAILED


def _recovery_of(failure: NotReached) -> str:
    match failure.why:
        case Why.NOT_ALLOWED:
            return LIST_IT
        case Why.NO_SUCH_NAME | Why.NO_CONNECTION | Why.TOO_SLOW:
            return "Try again later, or look whether the address is right."
        case _:
            return ""
