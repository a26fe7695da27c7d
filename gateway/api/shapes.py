"""How rows look from outside: the output serializers, shared by resources that show the same thing."""

from typing import Any

from rest_framework import serializers

from audit.present import sentence


class WhyShape(serializers.Serializer[Any]):
    """Why it waits, or how it ended: one code, one sentence."""

    code = serializers.CharField()
    sentence = serializers.CharField()
    since = serializers.DateTimeField()
    detail = serializers.DictField()


class RunShape(serializers.Serializer[Any]):
    """A run; `why` says in one sentence what it is doing or waiting for."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    state = serializers.CharField()
    state_changed_at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]  # the field's name is the API's
    request = serializers.CharField(source="request_text")
    requester = serializers.CharField(source="requester_name")
    metadata = serializers.DictField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    deadline_at = serializers.DateTimeField()
    reason = serializers.CharField()
    outcome = serializers.JSONField(allow_null=True)
    correlation_id = serializers.CharField()
    why = WhyShape()
    url = serializers.CharField()


class StepShape(serializers.Serializer[Any]):
    """A step with its result, masked as it is stored for reading."""

    id = serializers.UUIDField()
    sequence = serializers.IntegerField()
    ref = serializers.CharField()
    agent = serializers.CharField(source="agent_name")
    objective = serializers.CharField()
    instruction = serializers.JSONField(source="instruction_redacted")
    allowed_skills = serializers.ListField(child=serializers.CharField())
    depends_on = serializers.ListField(child=serializers.UUIDField())
    state = serializers.CharField()
    state_changed_at = serializers.DateTimeField()
    attempt = serializers.IntegerField()
    retries = serializers.IntegerField()
    not_before = serializers.DateTimeField(allow_null=True)
    waits_for = serializers.JSONField(allow_null=True)
    last_error = serializers.CharField()
    taint = serializers.ListField(child=serializers.CharField())
    result = serializers.JSONField(source="result_redacted", allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)


class PlanShape(serializers.Serializer[Any]):
    """A plan as it is stored for reading."""

    id = serializers.UUIDField()
    version = serializers.IntegerField()
    state = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    plan_hash = serializers.CharField()
    summary = serializers.CharField()
    steps = serializers.JSONField(source="steps_redacted")
    playbook = serializers.SerializerMethodField()
    faults = serializers.JSONField()

    def get_playbook(self, plan: Any) -> dict[str, str] | None:
        return {"name": plan.playbook_name, "digest": plan.playbook_digest} if plan.playbook_name else None


class GateShape(serializers.Serializer[Any]):
    """A decision."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    run_number = serializers.IntegerField(source="run.number")
    step = serializers.UUIDField(source="step_id", allow_null=True)
    action = serializers.CharField()
    subject = serializers.CharField()
    call_id = serializers.CharField()
    agent = serializers.CharField(source="agent_name")
    effect = serializers.CharField()
    state = serializers.CharField()
    code = serializers.CharField()
    reason = serializers.CharField()
    rules = serializers.JSONField()
    manifest_digests = serializers.ListField(child=serializers.CharField())
    decision_us = serializers.IntegerField()
    thresholds = serializers.JSONField()
    payload_digest = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)
    consent_until = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    state_changed_at = serializers.DateTimeField()


class CallShape(serializers.Serializer[Any]):
    """A call of a skill, its input and output masked as they are stored for reading."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    step = serializers.UUIDField(source="step_id")
    call_id = serializers.CharField()
    attempt = serializers.IntegerField()
    agent = serializers.CharField(source="agent_name")
    skill = serializers.CharField(source="skill_name")
    side_effect = serializers.CharField()
    state = serializers.CharField()
    state_changed_at = serializers.DateTimeField()
    policy_status = serializers.CharField()
    lock_status = serializers.CharField()
    input = serializers.JSONField(source="input_redacted")
    output = serializers.JSONField(source="output_redacted", allow_null=True)
    error = serializers.JSONField(allow_null=True)
    input_digest = serializers.CharField()
    payload_digest = serializers.CharField()
    gate = serializers.UUIDField(source="gate_id", allow_null=True)
    cost_usd = serializers.DecimalField(max_digits=14, decimal_places=6)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class ModelCallShape(serializers.Serializer[Any]):
    """A call of a model: tokens and cost. What was said is not kept; `reserved_usd` is the most that it could cost."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    step = serializers.UUIDField(source="step_id", allow_null=True)
    gate = serializers.UUIDField(source="gate_id")
    job = serializers.CharField(source="job_name")
    attempt = serializers.IntegerField()
    agent = serializers.CharField(source="agent_name")
    provider = serializers.CharField()
    model = serializers.CharField()
    streamed = serializers.BooleanField()
    state = serializers.CharField()
    state_changed_at = serializers.DateTimeField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField()
    cost_usd = serializers.DecimalField(max_digits=14, decimal_places=6)
    reserved_usd = serializers.DecimalField(max_digits=14, decimal_places=6)
    reserved_tokens = serializers.IntegerField()
    stop_reason = serializers.CharField()
    error = serializers.JSONField(allow_null=True)
    request_digest = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class ArtifactShape(serializers.Serializer[Any]):
    """An artifact; its content is at `content_url`."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    step = serializers.UUIDField(source="step_id", allow_null=True)
    name = serializers.CharField()
    media_type = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()
    taint = serializers.ListField(child=serializers.CharField())
    produced_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    content_url = serializers.SerializerMethodField()

    def get_content_url(self, artifact: Any) -> str:
        return f"/v1/artifacts/{artifact.pk}/content"


class BurnShape(serializers.Serializer[Any]):
    """A failure worth a look."""

    id = serializers.UUIDField()
    run = serializers.UUIDField(source="run_id")
    step = serializers.UUIDField(source="step_id", allow_null=True)
    job = serializers.CharField(source="job_name")
    agent = serializers.CharField(source="agent_name")
    kind = serializers.CharField()
    reason = serializers.CharField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class EntryShape(serializers.Serializer[Any]):
    """A ledger entry with its sentence; `position` is null until it is sealed."""

    id = serializers.IntegerField()
    position = serializers.IntegerField(allow_null=True)
    seal = serializers.IntegerField(allow_null=True)
    type = serializers.CharField()
    subject = serializers.CharField()
    actor = serializers.CharField()
    on_behalf_of = serializers.CharField()
    because = serializers.CharField()
    facts = serializers.JSONField()
    at = serializers.DateTimeField()
    run = serializers.UUIDField(allow_null=True)
    correlation_id = serializers.CharField()
    sentence = serializers.SerializerMethodField()

    def get_sentence(self, event: Any) -> str:
        return sentence(event)
