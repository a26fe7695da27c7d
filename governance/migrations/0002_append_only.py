"""Decisions, consents, votes, plans and policy are never rewritten, but for their state and what is written once."""

from django.db import migrations

from audit.triggers import DEPENDENCY, append_only

STATE = ("state", "state_changed_at")


class Migration(migrations.Migration):
    dependencies = [("governance", "0001_initial"), DEPENDENCY]
    operations = [
        append_only("governance_gate", allowed=STATE, write_once=("consent_until",)),
        append_only("governance_consent", write_once=("used_at", "used_by")),
        append_only("governance_vote"),
        append_only("governance_plan", allowed=STATE),
        append_only("governance_policymanifest", allowed=(*STATE, "activated_by", "activated_because"), write_once=("activated_at",)),
        append_only("governance_encryptedpayload"),
    ]
