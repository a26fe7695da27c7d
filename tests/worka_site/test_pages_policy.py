"""Policy in the console: versions with their text, checking a manifest, and the way from a draft into force."""

import pytest

from governance.actions.manifests import draft_manifest
from governance.models import PolicyManifest
from tests.console import at, console_journey, hold, queries, visit, words
from tests.desk import POLICY
from tests.people import build_house

pytestmark = pytest.mark.django_db

LIST, CHECK = "/admin/governance/policymanifest/", "/admin/policy/check/"
STRICTER = POLICY.replace("wall_clock", "wall_clock").replace("invocations: 20", "invocations: 10")
BROKEN = POLICY.replace("skills:", "skils:", 1)


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch)


def active(j):
    return PolicyManifest.objects.get(workspace=j.house.workspace, state="active")


def href(manifest):
    return at("governance_policymanifest_change", manifest.pk)


def press(client, manifest, event, because="as agreed"):
    return client.post(at("governance_policymanifest_press", manifest.pk, event), {"because": because}, follow=True)


def told(response):
    return [str(message) for message in response.context["messages"]]


def deeds(client, manifest):
    return [each.button.event for each in client.get(href(manifest)).context["buttons"]]


def test_everybody_of_the_workspace_reads_its_policy_and_the_ceiling(j):
    for name in ("ada", "bob", "carol", "dora", "olga"):
        page = visit(getattr(j.house, name)).get(LIST)
        assert [len(scope["manifests"]) for scope in page.context["scopes"]] == [1, 1]
        assert visit(getattr(j.house, name)).get(href(active(j))).status_code == 200
    assert visit(j.house.eve).get(LIST).status_code == 404
    assert visit(j.house.eve).get(href(active(j))).status_code == 404


def test_the_policy_of_another_workspace_is_not_there(j):
    theirs = PolicyManifest.objects.get(workspace=build_house("zeta").workspace, state="active")

    assert visit(j.house.olga).get(href(theirs)).status_code == 404
    assert visit(j.house.olga).get(CHECK, {"copy": str(theirs.pk)}).status_code == 404
    assert press(visit(j.house.olga), theirs, "submit").status_code == 404


def test_a_version_is_shown_with_lines_what_it_allows_and_the_rule_that_asked(j):
    hold(j)
    rule = visit(j.house.bob).get(at("governance_gate_change", j.gate().pk)).context["rules"][0]

    page = visit(j.house.bob).get(rule.href)

    assert page.context["hits"] == {9}
    assert '<span class="l hit">' in page.content.decode()
    assert [row["agent"] for row in page.context["allows"]] == ["daneel", "ernest", "hari"] or {
        row["agent"] for row in page.context["allows"]
    } == {"daneel", "ernest", "hari"}
    assert "desk.*" in words(page)


@pytest.mark.parametrize("line", ["0", "-1", "99999999", "x", "9999", ""])
def test_a_line_that_is_none_marks_nothing(j, line):
    page = visit(j.house.bob).get(href(active(j)), {"line": line})

    assert page.status_code == 200 and page.context["hits"] == set()


def test_a_manifest_with_faults_is_told_each_with_its_line_and_nothing_is_stored(j):
    page = visit(j.house.ada).post(CHECK, {"source": BROKEN, "layer": "workspace"})

    assert page.context["faults"] and page.context["faults"][0].path.startswith("4:")
    assert "would not be accepted" in words(page) and page.context["hits"] == {4}
    assert PolicyManifest.objects.filter(workspace=j.house.workspace).count() == 1


def test_a_manifest_that_compiles_says_so_and_nothing_is_stored(j):
    page = visit(j.house.ada).post(CHECK, {"source": STRICTER, "layer": "workspace", "deed": "check"})

    assert "It compiles." in words(page) and page.context["accepted"].digest
    assert PolicyManifest.objects.filter(workspace=j.house.workspace).count() == 1


def test_a_copy_begins_with_the_text_of_the_version(j):
    page = visit(j.house.dora).get(CHECK, {"copy": str(active(j).pk)})

    assert page.context["source"] == POLICY


def test_policy_is_drafted_submitted_and_activated_by_two_people(j):
    dora, olga = visit(j.house.dora), visit(j.house.olga)
    stored = dora.post(
        CHECK, {"source": STRICTER.replace("\n", "\r\n"), "layer": "workspace", "deed": "draft"}, follow=True
    )
    draft = PolicyManifest.objects.get(workspace=j.house.workspace, version=2)
    assert told(stored) == ["Version 2 is stored as a draft. Nothing has changed yet: submit it next."]
    assert (draft.source, deeds(dora, draft), deeds(olga, draft)) == (STRICTER, ["submit"], ["submit"])

    press(dora, draft, "submit")
    own = dora.get(href(draft))
    assert "You wrote this version, so somebody else must activate it." in words(own)
    assert deeds(dora, draft) == ["reject"]
    assert press(dora, draft, "activate").status_code == 403
    changes = olga.get(href(draft)).context["changes"]
    assert "<mark>10</mark>" in changes.html and "<mark>20</mark>" in changes.html

    done = press(olga, draft, "activate", "tried on Monday")

    assert told(done) == ["Version 2 is in force from now on. The one before is kept."]
    assert active(j) == draft and active(j).activated_because == "tried on Monday"
    assert PolicyManifest.objects.get(workspace=j.house.workspace, version=1).state == "retired"


def test_a_submitted_version_can_be_turned_down(j):
    draft = draft_manifest(j.house.workspace.pk, STRICTER, by=j.house.by("dora"))
    press(visit(j.house.dora), draft, "submit")

    done = press(visit(j.house.olga), draft, "reject", "too strict")

    draft.refresh_from_db()
    assert told(done) == ["Version 2 is rejected. Nothing has changed."]
    assert draft.state == "rejected"


@pytest.mark.parametrize("name", ["ada", "bob", "carol"])
def test_who_may_not_write_policy_cannot_by_hand_either(j, name):
    draft = draft_manifest(j.house.workspace.pk, STRICTER, by=j.house.by("dora"))
    person = visit(getattr(j.house, name))

    assert deeds(person, draft) == []
    assert press(person, draft, "submit").status_code == 403
    page = person.post(CHECK, {"source": STRICTER, "layer": "workspace", "deed": "draft"})
    assert page.status_code == 409 and "does not let you write policy" in told(page)[0]
    assert PolicyManifest.objects.filter(workspace=j.house.workspace).count() == 2


@pytest.mark.parametrize("name", ["dora", "olga", "root"])
def test_nobody_changes_the_platforms_policy_from_here(j, name, django_user_model):
    root = django_user_model.objects.create_superuser("root", password="a password for tests")
    ceiling = PolicyManifest.objects.get(workspace=None, state="active")
    draft = draft_manifest(None, ceiling.source + "\n# a note\n", by=j.house.by("dora"))

    person = visit(root if name == "root" else getattr(j.house, name))

    assert deeds(person, draft) == []
    assert press(person, draft, "submit").status_code == 403


def test_text_in_a_manifest_stays_text(j):
    source = POLICY + "# <script>alert(1)</script> \u202e\n"
    draft = draft_manifest(j.house.workspace.pk, source, by=j.house.by("dora"))

    for page in (
        visit(j.house.bob).get(href(draft)),
        visit(j.house.bob).post(CHECK, {"source": source + "x: <b>y</b>\n"}),
    ):
        html = page.content.decode()
        assert "<script>alert" not in html and "<b>y</b>" not in html


def test_many_versions_ask_the_data_base_as_often_as_one(j):
    bob = visit(j.house.bob)
    bob.get(LIST)
    with queries() as few:
        bob.get(LIST)
    for number in range(4):
        draft_manifest(j.house.workspace.pk, POLICY + f"# {number}\n", by=j.house.by("dora"))

    with queries() as many:
        page = bob.get(LIST)

    assert len(page.context["scopes"][0]["manifests"]) == 5
    assert len(many) == len(few)
