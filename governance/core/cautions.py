"""Say what is odd about a manifest that is valid: what can never speak, who may do nothing, who can hardly be met."""

from collections.abc import Mapping

from governance.core.compiled import EVERYBODY, CompiledManifest, CompiledRule
from governance.core.facts import CALL_MODEL, INVOKE
from governance.core.quorum import Threshold
from governance.core.reading import Reader
from governance.core.source import Place
from governance.core.verdicts import DEFAULT_GROUP
from governance.core.wording import count


def warn(manifest: CompiledManifest, reader: Reader, places: Mapping[str, Place]) -> None:
    """Add every warning about a manifest to the reader's."""
    for name, entry in manifest.agents.items():
        place = places[f"agents.{name}"]
        if name == EVERYBODY and manifest.layer == "workspace":
            reader.warnings.add(
                place, "everybody", "every agent without an entry of its own may do this, also one that is added later"
            )
        for action, patterns, key in ((INVOKE, entry.skills, "skills"), (CALL_MODEL, entry.models, "models")):
            if (action in entry.actions) != bool(patterns):
                lacks = f"{key} without the action {action}" if patterns else f"the action {action} without {key}"
                reader.warnings.add(place, "without_effect", f"{name} has {lacks}")
    for name in sorted(reader.agents):
        if manifest.entry_of(name) is None:
            reader.warnings.add(places["agents_key"], "not_listed", f"{name} is not listed and may do nothing")
    for compiled in manifest.rules:
        _warn_about_rule(compiled, manifest, reader, places[f"rules.{compiled.index}"])
    for section, approval in (("plan", manifest.approvals_plan), ("repeat", manifest.approvals_repeat)):
        if approval is not None:
            _warn_about_groups(approval.thresholds, reader, places[f"approvals.{section}"])
    if manifest.layer == "workspace" and manifest.approvals_repeat is None and DEFAULT_GROUP not in reader.groups:
        message = f"there is no group {DEFAULT_GROUP}, so possible repeats ask nobody; name a group in approvals.repeat"
        reader.warnings.add(places["agents_key"], "nobody_asked", message)


def _warn_about_rule(compiled: CompiledRule, manifest: CompiledManifest, reader: Reader, place: Place) -> None:
    rule = compiled.rule
    if compiled.tests == () and not (
        rule.action or rule.agent or rule.model or rule.skill or rule.side_effect or rule.labels
    ):
        reader.warnings.add(place, "everything", "the rule has no condition and speaks about everything")
    # A guard that names neither agent nor skill is meant for whatever comes, so it may rest for now.
    if (rule.agent or rule.skill) and not _can_speak(compiled, manifest, reader):
        message = "the rule can never speak: no agent that it fits may ask for anything that it fits"
        reader.warnings.add(place, "never_speaks", message)
    _warn_about_groups(rule.asks, reader, place)


def _can_speak(compiled: CompiledRule, manifest: CompiledManifest, reader: Reader) -> bool:
    for agent in (name for name in reader.agents if compiled.has_agent is None or compiled.has_agent(name)):
        entry = manifest.entry_of(agent)
        if entry is not None and (compiled.actions & entry.actions) - {INVOKE}:
            return True
        if (
            entry is not None
            and INVOKE in compiled.actions & entry.actions
            and any(
                entry.has_skill(fact.name) and compiled.reaches_skill(fact.name, fact.side_effect, fact.labels)
                for fact in reader.skills.values()
            )
        ):
            return True
    return False


def _warn_about_groups(thresholds: tuple[Threshold, ...], reader: Reader, place: Place) -> None:
    if not isinstance(reader.groups, Mapping):
        return
    for asked in thresholds:
        members = reader.groups[asked.group]
        if members < asked.approve:
            message = f"{asked.group} has {count(members, 'member')}, so a quorum of {asked.approve} can never be met"
            reader.warnings.add(place, "quorum_not_met", message)
        elif members == asked.approve:
            message = f"{asked.group} has {count(members, 'member')}: if one of them asks for a run, a quorum of {asked.approve} cannot be met"
            reader.warnings.add(place, "quorum_hardly_met", message)
