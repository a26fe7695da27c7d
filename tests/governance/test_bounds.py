"""What a plan or an agent may write fits the columns that it is stored in."""

import re

import pytest
from django.contrib.postgres.fields import ArrayField

from gateway.door.evidence import LONGEST_NAME
from governance.core.instruction import SCHEMAS
from governance.core.planning import PLAN_SCHEMA
from governance.models import Artifact, Gate, Plan, SkillInvocation, Step

STEP = PLAN_SCHEMA["properties"]["steps"]["items"]["properties"]
PLAYBOOK = PLAN_SCHEMA["properties"]["playbook"]["properties"]
CALL = SCHEMAS["direct"]["properties"]["calls"]["items"]["properties"]
FILE = SCHEMAS["render"]["properties"]["artifact"]["properties"]


def longest(schema):
    """Return how many characters a schema lets through: its maxLength, or what its pattern can match at most."""
    if "maxLength" in schema:
        return schema["maxLength"]
    repeated = re.fullmatch(
        r"\^\[[^\]]+\](?:\[[^\]]+\])?\{(?:0,)?(\d+)\}\$|\^\[[^\]]+\]\[(?:\\.|[^\]])+\]\{0,(\d+)\}\$", schema["pattern"]
    )
    assert repeated, f"the schema {schema} has no bound"
    return int(repeated[1] or repeated[2]) + (1 if repeated[0].count("[") > 1 else 0)


def length(model, name):
    field = model._meta.get_field(name)
    return (field.base_field if isinstance(field, ArrayField) else field).max_length


@pytest.mark.parametrize(
    ("schema", "model", "column"),
    [
        (STEP["step_ref"], Step, "ref"),
        (STEP["agent_name"], Step, "agent_name"),
        (STEP["agent_name"], Gate, "agent_name"),
        (STEP["agent_name"], SkillInvocation, "agent_name"),
        (STEP["allowed_skills"]["items"], Step, "allowed_skills"),
        (PLAYBOOK["name"], Plan, "playbook_name"),
        (PLAYBOOK["digest"], Plan, "playbook_digest"),
        (CALL["call_id"], SkillInvocation, "call_id"),
        (CALL["call_id"], Gate, "call_id"),
        (CALL["skill"], SkillInvocation, "skill_name"),
        (CALL["skill"], Gate, "subject"),
        (FILE["name"], Artifact, "name"),
        (FILE["name"], Gate, "subject"),
        (FILE["media_type"], Artifact, "media_type"),
    ],
)
def test_no_schema_lets_through_what_is_too_long_to_be_stored(schema, model, column):
    assert longest(schema) <= length(model, column)


def test_the_names_of_artifacts_at_the_door_fit_too():
    assert min(length(Artifact, "name"), length(Gate, "subject")) >= LONGEST_NAME
