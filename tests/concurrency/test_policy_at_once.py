"""People who write and activate policy at the same moment: one version after the other, one in force."""

from functools import partial

import pytest

from audit.models import AuditEvent
from governance.actions import manifests
from governance.models import PolicyManifest
from tests import desk
from tests.concurrency.meeting import Halfway, at_once, of_type
from worka_site.seed import POLICIES

pytestmark = pytest.mark.concurrency


def test_policies_that_are_drafted_and_activated_at_once_come_one_after_the_other(j, monkeypatch):
    """Guard: the lock on what the policy belongs to, the workspace's row or the platform's advisory lock.

    Without it two drafts count the same version, and the second activation runs into the constraint of the one that is active.
    """
    house = j.house
    platform = (POLICIES / "platform.yaml").read_text()

    for workspace, source in ((house.workspace.pk, desk.POLICY), (None, platform)):
        Halfway(monkeypatch, manifests, "persons_behind", moment_s=0.2)
        drafts = at_once(
            partial(manifests.draft_manifest, workspace, source + "# a\n", by=house.by("dora")),
            partial(manifests.draft_manifest, workspace, source + "# b\n", by=house.by("dora")),
        )
        assert sorted(draft.version for draft in of_type(drafts, PolicyManifest)) == [2, 3], drafts
        for draft in drafts:
            manifests.submit_manifest(draft.pk, by=house.by("dora"), because="please look")

        Halfway(monkeypatch, manifests, "persons_behind", moment_s=0.2)
        done = at_once(
            *[partial(manifests.activate_manifest, each.pk, by=house.by("olga"), because="fine") for each in drafts]
        )

        assert len(of_type(done, PolicyManifest)) == 2, done
        states = PolicyManifest.objects.filter(workspace=workspace).order_by("version").values_list("state", flat=True)
        assert states[0] == "retired" and sorted(states) == ["active", "retired", "retired"]
    assert AuditEvent.objects.filter(type="manifest.retire").count() == 4
