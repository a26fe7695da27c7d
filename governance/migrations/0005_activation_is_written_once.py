"""Who activated a policy, and why, is written once, as when: until then there is nothing."""

from django.db import migrations, models

from audit.triggers import DEPENDENCY, append_only

TABLE = "governance_policymanifest"
STATE = ("state", "state_changed_at")
BEFORE = append_only(TABLE, allowed=(*STATE, "activated_by", "activated_because"), write_once=("activated_at",))

# One statement each: a row that is changed twice in a transaction has foreign keys that wait to be looked at, and no table with such is altered.
_SET = f"UPDATE {TABLE} SET activated_by = %s(activated_by, ''), activated_because = %s(activated_because, '')"
NOTHING_IS_NULL = _SET.replace("%s", "NULLIF")
NOTHING_IS_EMPTY = _SET.replace("%s", "COALESCE")


class Migration(migrations.Migration):
    dependencies = [("governance", "0004_unknown_calls"), DEPENDENCY]
    operations = [
        migrations.RunSQL(BEFORE.reverse_sql, BEFORE.sql),
        migrations.AlterField("policymanifest", "activated_by", models.CharField(blank=True, max_length=160, null=True)),
        migrations.AlterField("policymanifest", "activated_because", models.TextField(blank=True, null=True)),
        migrations.RunSQL(NOTHING_IS_NULL, NOTHING_IS_EMPTY),
        append_only(TABLE, allowed=STATE, write_once=("activated_at", "activated_by", "activated_because")),
    ]
