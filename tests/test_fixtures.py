"""What the other tests stand on: if these did not hold, they would prove nothing."""

import socket
import threading

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from audit.ledger import record
from audit.models import AuditEvent
from audit.principals import SYSTEM
from governance.models import ApproverGroup, Membership, PolicyManifest, Workspace
from tests.conftest import NetworkRefused
from tests.database import migrations_digest


def write_entry():
    return record("test.note", "worka.test:one", by=SYSTEM, because="a test")


@pytest.mark.django_db
@pytest.mark.parametrize("turn", [1, 2])
def test_what_a_test_writes_is_rolled_back(turn):
    assert AuditEvent.objects.count() == 0

    write_entry()

    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize("turn", [1, 2])
def test_what_a_test_commits_is_seen_by_threads_and_other_processes_and_gone_afterwards(committed_db, turn):
    assert AuditEvent.objects.count() == 0
    seen = []

    def look():
        seen.append(AuditEvent.objects.count())
        connection.close()

    write_entry()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    with psycopg.connect(committed_db) as other:
        seen.append(other.execute("SELECT count(*) FROM audit_auditevent").fetchone()[0])

    assert seen == [1, 1]


def test_a_commit_is_real_and_on_commit_runs(committed_db):
    ran = []

    with transaction.atomic():
        transaction.on_commit(lambda: ran.append(1))
        assert ran == []

    assert ran == [1]


def test_the_ledger_refuses_to_be_emptied_for_a_test_as_well(committed_db):
    write_entry()

    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("TRUNCATE audit_auditevent")

    assert AuditEvent.objects.count() == 1


def test_a_data_base_that_was_lent_before_is_as_new(cluster, template_database, committed_db, workspace):
    write_entry()
    connection.close()
    cluster.take_back(name_of(committed_db))

    assert cluster.lend(template_database) == name_of(committed_db)
    with psycopg.connect(committed_db) as other:
        filled = [name for name in tables(other) if other.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]
        assert filled == ["auth_permission", "django_content_type", "django_migrations"]
    assert write_entry().pk == 1
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_auditevent")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE audit_auditevent DISABLE TRIGGER USER",
        "ALTER TABLE governance_gate DROP COLUMN decision_us",
        "ALTER TABLE governance_gate ALTER COLUMN decision_us TYPE bigint",
        "CREATE TABLE left_over (id int)",
        "DELETE FROM auth_permission",
    ],
)
def test_a_data_base_that_was_changed_otherwise_is_never_lent_again(cluster, template_database, change):
    lent = cluster.lend(template_database)
    with psycopg.connect(cluster.url_of(lent), autocommit=True) as other:
        other.execute(f"SET session_replication_role = replica; {change}")
    cluster.take_back(lent)

    again = cluster.lend(template_database)

    assert again != lent
    cluster.take_back(again)
    with psycopg.connect(cluster.url_of("postgres")) as other:
        assert not other.execute("SELECT 1 FROM pg_database WHERE datname = %s", [lent]).fetchone()


def name_of(url):
    return url.partition("@/")[2].partition("?")[0]


def tables(other):
    found = other.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
    return sorted(name for (name,) in found)


def test_another_machine_cannot_be_reached():
    with pytest.raises(NetworkRefused):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo("example.com", 443)
    with socket.socket() as direct, pytest.raises(NetworkRefused):
        direct.connect(("192.0.2.1", 80))


def test_this_machine_can_be_reached():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        socket.create_connection(listener.getsockname(), timeout=5).close()


def test_the_people_have_the_roles_that_their_names_stand_for(db, workspace, ada, bob, carol, eve):
    roles = dict(Membership.objects.values_list("user__username", "role"))

    assert roles == {"ada": "member", "bob": "member"}
    assert [user.username for user in ApproverGroup.objects.get(name="operators").members.all()] == ["bob"]
    assert carol.groups.filter(name="auditors").exists()
    assert not eve.groups.exists()
    assert not any(person.is_superuser for person in (ada, bob, carol, eve))


def test_an_installed_workspace_has_policy_in_force(db, installed):
    assert installed == Workspace.objects.get()
    assert PolicyManifest.objects.filter(state="active").count() == 2


def test_changed_migrations_make_another_template(tmp_path, monkeypatch):
    before = migrations_digest()
    from django.apps import apps

    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_new.py").write_text("new")
    monkeypatch.setattr(apps.get_app_config("audit"), "path", str(tmp_path))
    monkeypatch.setattr("tests.database.PROJECT", tmp_path)

    assert migrations_digest() != before
    assert migrations_digest() == migrations_digest()
