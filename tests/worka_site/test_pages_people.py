"""People and groups in the console: superusers change them, and everything that changes what somebody may stands in the ledger."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User

from audit.ledger import subject_of
from audit.models import AuditEvent
from governance.people import AUDITORS
from tests.console import at, visit

pytestmark = pytest.mark.django_db

OLD, NEW = "a password for tests", "quite another password"
FORM = {"username": "ada", "first_name": "", "last_name": "", "email": "", "is_active": "on", "is_staff": "on"}


@pytest.fixture
def people():
    users = User.objects
    users.create_superuser("root", password=OLD)
    for name in ("ada", "eve"):
        users.create_user(name, password=OLD, is_staff=True)
    return {user.username: user for user in users.all()}


@pytest.fixture
def root(people):
    return visit(people["root"])


def entries():
    return list(AuditEvent.objects.exclude(type="user.sign_in").order_by("pk"))


def told(entry):
    return entry.type, entry.actor, entry.subject


def test_a_reset_password_is_written_down_and_the_password_is_not(root, people):
    ada = people["ada"]

    answer = root.post(
        at("auth_user_password_change", ada.pk),
        {"password1": NEW, "password2": NEW, "usable_password": "true", "set-password": "1"},
    )

    (entry,) = entries()
    assert answer.status_code == 302 and User.objects.get(pk=ada.pk).check_password(NEW)
    assert told(entry) == ("user.password_reset", "user:root", f"auth.user:{ada.pk}")
    assert entry.facts == {"label": "ada", "is_usable": True}
    assert NEW.encode() not in bytes(entry.body) and User.objects.get(pk=ada.pk).password.encode() not in bytes(
        entry.body
    )


def test_a_password_that_is_taken_away_is_written_down_and_one_that_is_refused_is_not(root, people):
    address = at("auth_user_password_change", people["ada"].pk)

    refused = root.post(
        address, {"password1": "short", "password2": "short", "usable_password": "true", "set-password": "1"}
    )
    assert refused.status_code == 200 and entries() == []
    root.post(address, {"usable_password": "false", "unset-password": "1"})

    (entry,) = entries()
    assert (entry.type, entry.facts["is_usable"]) == ("user.password_reset", False)
    assert not User.objects.get(pk=people["ada"].pk).has_usable_password()


def test_whoever_changes_their_own_password_is_written_down(people):
    ada = people["ada"]
    client = visit(ada)
    body = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}

    assert client.post(at("password_change"), {**body, "old_password": "wrong"}).status_code == 200
    assert entries() == []
    assert client.post(at("password_change"), body).status_code == 302

    (entry,) = entries()
    assert told(entry) == ("user.password_change", "user:ada", f"auth.user:{ada.pk}")
    assert client.get(at("index")).status_code != 302, "she stays signed in"


def test_what_somebody_may_is_written_down_before_and_after(root, people):
    auditors = Group.objects.create(name=AUDITORS)
    ada = people["ada"]
    address = at("auth_user_change", ada.pk)

    root.post(address, {**FORM, "email": "ada@elsewhere.example"})
    root.post(address, {**FORM, "is_superuser": "on", "groups": [auditors.pk]})
    root.post(address, {"username": "ada.lovelace"})

    mail, more, less = entries()
    assert {told(entry) for entry in (mail, more, less)} == {("user.change", "user:root", f"auth.user:{ada.pk}")}
    assert mail.facts == {"label": "ada", "fields": ["email"], "was": {}, "becomes": {}}
    assert b"elsewhere" not in bytes(mail.body)
    assert more.facts["was"] == {"is_superuser": False, "groups": []}
    assert more.facts["becomes"] == {"is_superuser": True, "groups": [AUDITORS]}
    assert less.facts["was"] == {
        "username": "ada", "is_active": True, "is_staff": True, "is_superuser": True, "groups": [AUDITORS],
    }  # fmt: skip
    assert less.facts["becomes"] == {
        "username": "ada.lovelace", "is_active": False, "is_staff": False, "is_superuser": False, "groups": [],
    }  # fmt: skip


def test_a_new_account_is_written_down_with_what_it_may(root):
    body = {"username": "dan", "password1": NEW, "password2": NEW, "usable_password": "true"}

    root.post(at("auth_user_add"), body)

    (entry,) = entries()
    assert told(entry) == ("user.create", "user:root", subject_of(User.objects.get(username="dan")))
    assert entry.facts["becomes"] == {
        "username": "dan", "is_active": True, "is_staff": False, "is_superuser": False, "groups": [],
    }  # fmt: skip


def test_a_group_that_is_made_renamed_or_deleted_is_written_down_with_who_is_in_it(root, people):
    root.post(at("auth_group_add"), {"name": "readers"})
    group = Group.objects.get()
    people["eve"].groups.add(group)
    root.post(at("auth_group_change", group.pk), {"name": AUDITORS})
    root.post(at("auth_group_delete", group.pk), {"post": "yes"})

    made, renamed, deleted = entries()
    assert {(entry.actor, entry.subject) for entry in (made, renamed, deleted)} == {
        ("user:root", f"auth.group:{group.pk}")
    }
    assert (made.type, made.facts) == ("group.create", {"label": "readers", "members": []})
    assert (renamed.type, renamed.facts) == ("group.change", {"label": AUDITORS, "was": "readers", "members": ["eve"]})
    assert (deleted.type, deleted.facts) == ("group.delete", {"label": AUDITORS, "members": ["eve"]})
    assert not Group.objects.exists()


def test_no_list_offers_a_deed_for_many_rows_at_once(root, people):
    group = Group.objects.create(name=AUDITORS)

    for name, pk in (("auth_user_changelist", people["ada"].pk), ("auth_group_changelist", group.pk)):
        root.post(at(name), {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})

    assert User.objects.count() == 3 and Group.objects.count() == 1 and entries() == []


def test_with_all_permissions_of_django_one_may_still_not_touch_people_or_groups(people):
    """Nobody but a superuser: who may change accounts can make any account a superuser, their own, too."""
    eve, group = people["eve"], Group.objects.create(name=AUDITORS)
    eve.user_permissions.set(Permission.objects.all())
    client = visit(eve)
    rows = {"user": people["root"].pk, "group": group.pk}
    mine = {**FORM, "username": "eve", "is_superuser": "on"}

    tried = [
        (verb, address)
        for model, pk in rows.items()
        for address in (at(f"auth_{model}_changelist"), at(f"auth_{model}_add"), at(f"auth_{model}_delete", pk),
                        at(f"auth_{model}_change", pk), at(f"auth_{model}_history", pk))
        for verb in (client.get, client.post)
    ]  # fmt: skip
    tried += [(client.post, at("auth_user_password_change", rows["user"])), (client.get, at("app_list", "auth"))]

    assert {verb(address).status_code for verb, address in tried} <= {403, 404}
    assert client.post(at("auth_user_change", eve.pk), mine).status_code == 403
    assert User.objects.filter(is_superuser=True).get().username == "root" and entries() == []
    assert "People and groups" not in client.get(at("password_change")).content.decode()


def test_no_other_models_of_djangos_accounts_have_pages():
    assert {model.__name__ for model in admin.site._registry if model._meta.app_label == "auth"} == {"User", "Group"}


def test_a_group_grants_no_permissions(root):
    shown = root.get(at("auth_group_add")).context["adminform"].form

    assert list(shown.fields) == ["name"]
