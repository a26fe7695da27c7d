"""`manage.py up` that dies where a test says so, with a letter box whose letters can be counted. Run as a script.

The file `die_at` in WORKA_HOME names the point; it is removed before the process kills itself, so that the next start
lives. Nothing of this is in the product: functions are replaced here, from outside.
"""

import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "sdk")]
HERE = Path(__file__).parent
TIMEOUT_S, LEASE_S = 20, 5


def die_at(point: str) -> None:
    """End as by `kill -9`, if this is the point that a test waits for."""
    order = Path(os.environ["WORKA_HOME"]) / "die_at"
    if order.exists() and order.read_text() == point:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def dying_before(point: str, module: Any, name: str) -> None:
    real = getattr(module, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        die_at(point)
        return real(*args, **kwargs)

    setattr(module, name, replaced)


def set_traps() -> None:
    """Put a trap at every point."""
    import audit.sealing
    import gateway.door.finishing
    import gateway.tools
    from audit.signals import recorded

    # After the commit of an entry, before whoever asked for it has an answer.
    committed = {
        "run.receive": "run created",
        "plan.accept": "plan stored",
        "gate.vote": "vote given",
        "step.succeed": "result stored",
    }

    def trap(event: Any, **kwargs: Any) -> None:
        die_at(committed.get(event.type, ""))

    recorded.connect(trap, weak=False)
    dying_before("call intended", gateway.tools, "_perform")
    dying_before("call performed", gateway.tools, "record_outcome")
    dying_before("result received", gateway.door.finishing, "accept_answer")
    # Positions are given, the seal is not there; the seal is there, its head is not outside; half of the head is.
    dying_before("seal begun", audit.sealing, "timestamp")
    dying_before("seal stored", audit.sealing, "publish_heads")
    publish = audit.sealing.publish_heads

    def tear() -> int:
        order = Path(os.environ["WORKA_HOME"]) / "die_at"
        # Half a head is what a crash leaves of one that is written; where none is missing, none is.
        if order.exists() and order.read_text() == "head torn" and audit.sealing.sealer_health().heads_behind:
            with (Path(os.environ["WORKA_HOME"]) / "tree_heads.jsonl").open("ab") as file:
                file.write(b'{"at":"2026-')
            die_at("head torn")
        return publish()

    audit.sealing.publish_heads = tear


def open_letter_box() -> None:
    """Install a skill that is not idempotent, the policy that holds it, and the playbook that uses it."""
    from django.conf import settings

    import gateway.connector
    import gateway.tools
    import worka_site.seed
    from gateway.connector import Connector, Outcome, SkillSpec

    text = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }

    class Letters(Connector):
        """Send letters: each time it is called, one more lies in the box."""

        skills = (
            SkillSpec(
                "letters.send",
                "Send a letter.",
                text,
                {"type": "object"},
                "external",
                frozenset({"sends_outside"}),
                timeout_s=TIMEOUT_S,
            ),
        )

        def call(self, verb: str, arguments: dict[str, Any], context: Any) -> Outcome:
            with (Path(os.environ["WORKA_HOME"]) / "letters").open("a") as box:
                box.write(arguments["text"] + "\n")
                box.flush()
                os.fsync(box.fileno())
            return Outcome({"sent": arguments["text"]})

    real = gateway.connector.all_connectors

    def with_letters() -> dict[str, Any]:
        return {**real(), "letters": Letters}

    gateway.connector.all_connectors = gateway.tools.all_connectors = with_letters
    home = Path(os.environ["WORKA_HOME"])
    policies, playbooks = home / "policies", home / "playbooks"
    for folder, shipped in ((policies, worka_site.seed.POLICIES), (playbooks, settings.WORKA_PLAYBOOKS)):
        shutil.copytree(shipped, folder, dirs_exist_ok=True)
    default = policies / "default.yaml"
    default.write_text(
        default.read_text().replace('"files.*"', '"files.*", "letters.*"').replace("backoff: 10s", "backoff: 1s")
    )
    shutil.copy(HERE / "send-a-letter.yaml", playbooks)
    worka_site.seed.POLICIES = policies
    settings.WORKA_PLAYBOOKS = playbooks


def hurry() -> None:
    """Let leases end after five seconds, whatever a connector still does: a test does not wait minutes for a dead performer."""
    from dataclasses import replace

    import gateway.connectors.files
    import gateway.connectors.git
    from governance.actions import reserve

    for connector in (gateway.connectors.files.Files, gateway.connectors.git.Git):
        connector.skills = tuple(replace(skill, timeout_s=TIMEOUT_S) for skill in connector.skills)
    # Only the lease is shortened: how long a connector has is counted with the grace in `work`, which stays.
    reserve.LEASE_GRACE = timedelta(seconds=LEASE_S - TIMEOUT_S)


def main() -> None:
    """Start `up`, with all of this in place."""
    from worka_site.env import set_default

    set_default("DJANGO_SETTINGS_MODULE", "worka_site.settings")
    import django
    from django.core.management import call_command

    django.setup()
    set_traps()
    hurry()
    open_letter_box()
    call_command("up")


if __name__ == "__main__":
    main()
