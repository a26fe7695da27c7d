"""What policy makes of everything there is: versions, who may use what, and how much it is used."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from governance.core.compiled import CompiledManifest
from governance.core.evaluate import Permission, explain_permissions
from governance.core.states import InvocationState, ManifestState
from governance.gather import active_manifests, skill_fact
from governance.models import PolicyManifest
from governance.people import Asker
from governance.queries import agents, calls_visible_to, manifests_visible_to, skills

COUNTED = 1000  # calls that use is counted over, the newest


@dataclass(frozen=True, slots=True)
class Use:
    """How often something was called among the newest calls, how often that failed, and when it last was."""

    calls: int
    failed: int
    last_at: datetime | None


def recent_use(asker: Asker) -> Mapping[str, Use]:
    """Return how skills were used in the newest calls that the asker may see, by the skill's name."""
    seen = calls_visible_to(asker).order_by("-pk").values_list("skill_name", "state", "created_at")[:COUNTED]
    found: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for name, state, at in seen:
        found[name].append((state, at))
    failures = (InvocationState.FAILED, InvocationState.UNKNOWN)
    return {
        name: Use(len(calls), sum(state in failures for state, _ in calls), max(at for _, at in calls))
        for name, calls in found.items()
    }


def permissions(asker: Asker) -> list[Permission]:
    """Return what each agent may expect when it asks for each skill, by the manifests that are active here."""
    facts = {skill.name: skill_fact(skill) for skill in skills()}
    names = list(agents().values_list("name", flat=True))
    return explain_permissions(active_manifests(asker.workspace_id), names, facts)


def active_of(asker: Asker, manifest: PolicyManifest) -> PolicyManifest | None:
    """Return the version in force in the same scope, if it is another one."""
    same = manifests_visible_to(asker).filter(workspace=manifest.workspace_id, state=ManifestState.ACTIVE)
    return same.exclude(pk=manifest.pk).first()


def compiled_of(manifest: PolicyManifest) -> CompiledManifest:
    return CompiledManifest.from_json(manifest.compiled)
