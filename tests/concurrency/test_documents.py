"""Several calls that write one document at the same moment, on real connections."""

import threading
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import connection

from gateway.connector import CallContext
from gateway.connectors.files import Files
from gateway.models import Document, DocumentVersion
from governance.models import Workspace

pytestmark = pytest.mark.concurrency


@pytest.fixture
def write(committed_db):
    workspace = Workspace.objects.create(slug="acme", name="Acme")

    def write(invocation, content):
        context = CallContext(
            workspace.pk, invocation, lambda _: b"", time.monotonic() + 30, SimpleNamespace(), frozenset()
        )
        return Files().call("write", {"path": "a.txt", "content": content}, context).output

    return write


def at_once(*calls):
    """Run the calls in threads that meet at a barrier; return their answers and what they raised."""
    barrier, answers = threading.Barrier(len(calls)), []

    def run(call):
        try:
            barrier.wait(10)
            answers.append(call())
        except Exception as error:
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_writers_at_once_each_make_a_version(write):
    """Guard: the row lock on the document; without it two count the same number and one runs into the constraint."""
    write(uuid4(), "first")

    answers = at_once(*[lambda number=number: write(uuid4(), f"by {number}") for number in range(4)])

    assert sorted(answer["version"] for answer in answers) == [2, 3, 4, 5]
    assert sorted(DocumentVersion.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5]
    assert Document.objects.get().version == 5


def test_the_first_writers_at_once_share_the_new_document(write):
    answers = at_once(*[lambda number=number: write(uuid4(), f"by {number}") for number in range(3)])

    assert sorted(answer["version"] for answer in answers) == [1, 2, 3]
    assert Document.objects.get().version == 3


def test_the_same_call_twice_at_once_writes_one_version(write):
    """Guard: the row lock; the look for the invocation comes after it, before it both would find nothing."""
    invocation = uuid4()
    write(uuid4(), "before")

    first, second = at_once(*[lambda: write(invocation, "x")] * 2)

    assert first == second
    assert DocumentVersion.objects.count() == 2
