"""Calls of models: what was asked of whom, what it cost, and how it ended. What was said is not kept, only its digest."""

from django.db import models

from governance.core.states import MODEL_CALL
from governance.models import Run, Step, Workspace
from governance.models.base import Stateful


class LlmCall(Stateful):
    """One call of a model. Its reservation is counted in full when nobody settles it before `lease_until`."""

    machine = MODEL_CALL

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, models.PROTECT, related_name="llm_calls")
    step = models.ForeignKey(Step, models.PROTECT, related_name="llm_calls", null=True)
    gate = models.ForeignKey("governance.Gate", models.PROTECT, related_name="+")
    job_name = models.CharField(max_length=80)
    attempt = models.PositiveSmallIntegerField()
    agent_name = models.CharField(max_length=48)
    provider = models.CharField(max_length=48)
    model = models.CharField(max_length=128)
    streamed = models.BooleanField()
    request_digest = models.CharField(max_length=64)
    reserved_usd = models.DecimalField(max_digits=14, decimal_places=6)
    reserved_tokens = models.PositiveIntegerField()
    lease_until = models.DateTimeField()

    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, default=0)
    stop_reason = models.CharField(max_length=32, blank=True)
    request_id = models.CharField(max_length=80, blank=True)
    error = models.JSONField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["run", "created_at"], name="llm_call_by_run"),
            models.Index(fields=["workspace", "-created_at"], name="llm_call_by_workspace"),
            models.Index(fields=["lease_until"], condition=models.Q(state="running"), name="llm_call_running"),
        ]

    @property
    def tokens_in(self) -> int:
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens

    @property
    def is_counted(self) -> bool:
        return bool(self.tokens_in or self.output_tokens)

    @property
    def audit_label(self) -> str:
        return self.model

    def __str__(self) -> str:
        return f"{self.model} for {self.agent_name} in {self.run}"
