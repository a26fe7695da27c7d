"""The addresses below /v1."""

from csp.decorators import csp_update
from django.urls import path, re_path

from gateway.api import approvals, evidence, ledger, memories, policies, runs, site, spend
from gateway.api.stream import events_stream

urlpatterns = [
    path("health", site.Health.as_view()),
    path("openapi.json", site.Document.as_view(), name="openapi"),
    # The icons of Swagger UI's sheet are data: URLs.
    path("docs", csp_update({"img-src": ["data:"]})(site.Docs.as_view()), name="api-docs"),
    path("runs", runs.Runs.as_view()),
    path("runs/<str:run>", runs.OneRun.as_view()),
    path("runs/<str:run>/cancel", runs.Cancel.as_view()),
    path("runs/<str:run>/steps", runs.Steps.as_view()),
    path("runs/<str:run>/plan", runs.OnePlan.as_view()),
    path("runs/<str:run>/gates", runs.Gates.as_view()),
    path("runs/<str:run>/invocations", runs.Calls.as_view()),
    path("runs/<str:run>/model-calls", runs.ModelCalls.as_view()),
    path("runs/<str:run>/artifacts", runs.Artifacts.as_view()),
    path("runs/<str:run>/burns", runs.Burns.as_view()),
    path("runs/<str:run>/events", runs.Events.as_view()),
    path("approvals", approvals.Approvals.as_view()),
    path("approvals/<str:gate>", approvals.OneApproval.as_view()),
    path("approvals/<str:gate>/vote", approvals.VoteOnApproval.as_view()),
    path("invocations/<str:call>/settle", approvals.Settle.as_view()),
    path("artifacts/<str:artifact>/content", evidence.ArtifactContent.as_view(), name="artifact-content"),
    path("agents", evidence.Agents.as_view()),
    path("skills", evidence.Skills.as_view()),
    path("connections", evidence.Connections.as_view()),
    path("models/spend", spend.ModelSpend.as_view()),
    path("memories", memories.Memories.as_view()),
    path("memories/forget", memories.Forget.as_view()),
    path("policies", policies.Policies.as_view()),
    path("policies/active", policies.ActivePolicies.as_view()),
    path("policies/check", policies.CheckPolicy.as_view()),
    path("policies/<str:policy>", policies.OnePolicy.as_view()),
    path("audit/events", ledger.Entries.as_view()),
    path("audit/seals", ledger.Seals.as_view()),
    path("audit/proof/<int:event>", ledger.EntryProof.as_view()),
    path("events/stream", events_stream),
    re_path("", site.Nowhere.as_view()),
]
