"""The generated pages of docs/reference: what is told by the code is told once."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from audit.core.codes import Code
from audit.core.machine import Machine
from gateway.core.mcp import TOOL
from gateway.core.states import CONNECTION, GRANT, SECRET_VERSION
from governance.core import states
from runtime.core.jobs import JOB
from worka_site.env import PROJECT, Environment

FOLDER = PROJECT / "docs" / "reference"
NOTE = "<!-- Written by `make docs`; changes here are lost. -->\n"


def settings_page() -> str:
    """Write the page of every environment variable."""
    rows = []
    # What one installation needs first comes first; the fields of the class above stand before its own.
    ordered = sorted(Environment.model_fields.items(), key=lambda item: item[0] not in Environment.__annotations__)
    for _name, field in ordered:
        default = field.default
        match default:
            case None | "" | ():
                shown = ""
            case tuple() | dict():
                shown = ", ".join(map(str, default))
            case _:
                shown = str(default)
        shown = shown.replace(str(PROJECT), "the project's folder")
        rows.append(f"| `{field.validation_alias}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return "\n".join([
        "# Settings\n", NOTE,
        "All settings are environment variables. Each may be given as `NAME_FILE`, the path of a file that holds the value.",
        "Unset and empty are the same; what is wrong is said at start, all of it at once.\n",
        "| variable | default | what it is |", "|---|---|---|", *rows, "",
    ])  # fmt: skip


def states_page() -> str:
    """Write the page of every state machine, as a diagram and as a table."""
    machines: list[Machine] = [
        states.RUN, states.PLAN, states.STEP, states.GATE, states.INVOCATION, JOB, states.MANIFEST,
        states.MODEL_CALL,
        SECRET_VERSION, GRANT, CONNECTION, TOOL,
    ]  # fmt: skip
    parts = [
        "# States\n",
        NOTE,
        "A state is a participle, an event an imperative; the ledger's entry reads `subject.event`.",
        "",
    ]
    for machine in machines:
        parts += [f"## {machine.subject.replace('_', ' ').capitalize()}\n", "```mermaid", machine.diagram(), "```\n"]
        parts += ["| from | event | to |", "|---|---|---|"]
        parts += [f"| {before} | {event} | {after} |" for (before, event), after in machine.table.items()]
        parts += ["", f"Final: {', '.join(str(state) for state in machine.states if machine.is_final(state))}.", ""]
    return "\n".join(parts)


def codes_page() -> str:
    """Write the page of every code that a refusal can carry."""
    rows = [f"| {code.status} | `{code}` |" for code in sorted(Code, key=lambda code: code.status)]
    return "\n".join([
        "# Codes\n", NOTE,
        "Every refusal has a code for programs and a sentence for people: one list for REST, the agents' door and the CLI.\n",
        "| status | code |", "|---|---|", *rows, "",
    ])  # fmt: skip


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {"settings.md": settings_page, "states.md": states_page, "codes.md": codes_page}
)


def outdated() -> list[str]:
    """Return the names of the pages that are not what the code says now."""
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != page()
    ]


def write() -> list[str]:
    """Write the pages that are outdated and return their names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    names = outdated()
    for name in names:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
    return names
