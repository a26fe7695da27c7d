"""MCP servers, and what each of their tools was when somebody accepted it."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from gateway.core.mcp import LABELS, TOOL, Definition
from governance.models import SideEffect
from governance.models.base import Row, Stateful


class Transport(models.TextChoices):
    STDIO = "stdio"
    HTTP = "http"


def every_label() -> list[str]:
    """Return all labels: what a tool is taken for until somebody knows better."""
    return list(LABELS)


class McpServer(Row):
    """A server whose tools may become skills. `files` maps places of this machine to where a caged server sees them."""

    name = models.SlugField(max_length=32, unique=True)
    transport = models.CharField(max_length=8, choices=Transport)
    command = models.JSONField(default=list, blank=True)
    files = models.JSONField(default=dict, blank=True)
    url = models.CharField(max_length=500, blank=True)
    needs_connection = models.BooleanField(
        default=False, help_text="Each workspace connects it with credentials of its own."
    )
    enabled = models.BooleanField(default=True)
    added_by = models.CharField(max_length=160)
    added_because = models.TextField()
    protocol = models.CharField(max_length=32, blank=True)
    unusable = models.JSONField(default=dict, blank=True, help_text="Tools that cannot be used, and why.")
    seen_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)
        verbose_name = "MCP server"

    @property
    def service_name(self) -> str:
        """The name under which workspaces connect it."""
        return f"mcp.{self.name}"

    @property
    def audit_label(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class McpTool(Stateful):
    """A tool of a server. Its definition is what was discovered, then what was accepted; `served` is what differs now.

    `served_digest` is that of what the server served last, empty when it served the tool no more. `annotations` are the
    server's own hints: claims, that decide nothing.
    """

    machine = TOOL

    server = models.ForeignKey(McpServer, models.PROTECT, related_name="tools")
    name = models.CharField(max_length=128)
    description = models.TextField(blank=True)
    input_schema = models.JSONField()
    output_schema = models.JSONField(null=True, blank=True)
    annotations = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64)
    served = models.JSONField(null=True, blank=True)
    served_digest = models.CharField(max_length=64, blank=True)
    side_effect = models.CharField(max_length=16, choices=SideEffect, default=SideEffect.EXTERNAL)
    labels = ArrayField(models.CharField(max_length=32), default=every_label, blank=True)
    idempotent = models.BooleanField(default=False)
    reason = models.TextField(blank=True, help_text="Why it is in its state.")

    class Meta:
        ordering = ("name",)
        verbose_name = "MCP tool"
        constraints = [
            models.UniqueConstraint(
                fields=["server", "name"], condition=~models.Q(state="withdrawn"), name="one_mcp_tool_per_name"
            )
        ]

    @property
    def definition(self) -> Definition:
        return Definition(self.name, self.description, self.input_schema, self.output_schema, self.annotations)

    @property
    def offered(self) -> Definition:
        """Return what the server serves, as far as is known: what an acceptance would be about."""
        return Definition(**self.served) if self.served else self.definition

    @property
    def audit_label(self) -> str:
        return f"mcp.{self.server.name}.{self.name}"

    def __str__(self) -> str:
        return self.audit_label
