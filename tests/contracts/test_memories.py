"""Every memory there is keeps the contract: it finds what is about the question, in its workspace and namespace, and forgets."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.utils.timezone import now

from audit.core.ids import uuid7
from gateway.memory import Kept, Question, all_memories
from gateway.models import MemoryEntry
from governance.models import Workspace
from tests.governance.by_hand import again, rows
from tests.wire.embedder import KEY, MODEL, embedder, mem0_opened

pytestmark = pytest.mark.django_db
EVERY = pytest.mark.parametrize("memory", sorted(all_memories()), indirect=True)
HARBOUR = "Asked: Sort the letters about harbour fees"
GARDEN = "Asked: Plant roses in the garden"


@pytest.fixture(scope="module")
def words():
    with embedder() as found:
        yield found


@pytest.fixture
def kept():
    """A function that makes an entry, which is a row before or after a memory is told of it."""
    house = rows()
    elsewhere = Workspace.objects.create(slug="umbrella", name="Umbrella")
    numbers = iter(range(100, 999))

    def make(memory, text, namespace="agent:hari", *, foreign=False):
        workspace = elsewhere if foreign else house.workspace
        run = again(house.run, number=next(numbers), workspace=workspace)
        entry = MemoryEntry(
            id=uuid7(), workspace=workspace, namespace=namespace, text=text, run=run, agent_name="hari",
            created_by="system:worka", expires_at=now() + timedelta(days=1),
        )  # fmt: skip
        told = Kept(entry.pk, workspace.pk, namespace, text)
        memory.keep([told])
        memory.keep([told])
        entry.save(force_insert=True)
        return entry.pk

    make.workspace = house.workspace
    return make


@pytest.fixture
def memory(request, db, words, settings):
    """Each memory there is, with an embedder at hand."""
    settings.WORKA_EMBEDDER_URL, settings.WORKA_EMBEDDER_KEY, settings.WORKA_EMBEDDER_MODEL = words.url, KEY, MODEL
    with mem0_opened() if request.param == "mem0" else nullcontext():
        yield all_memories()[request.param]()


def test_the_memories_of_this_release_are_there():
    assert sorted(all_memories()) == ["builtin", "meaning", "mem0"]


@EVERY
def test_it_finds_what_is_about_the_question_in_its_own_namespace_best_first_and_no_more_than_asked(memory, kept):
    wanted = kept(memory, HARBOUR)
    also = kept(memory, "Asked: Which fees are due for a letter?")
    for text, more in ((GARDEN, {}), (HARBOUR, {"namespace": "agent:ernest"}), (HARBOUR, {"foreign": True})):
        kept(memory, text, **more)

    def find(text, most=10):
        return memory.find(Question(kept.workspace.pk, "agent:hari", text, most))

    assert find("What do the LETTERS say about the fees of the harbour?") == [wanted, also]
    assert find("letters about harbour fees", most=1) == [wanted]
    assert find("harbour") == [wanted]  # one word is enough where there is only one
    assert find("the letters of my neighbour in town") == []  # one of many is chance
    for odd in ("", "the of and", "' | !& <-> :*", "a\x00b", "x" * 30_000, "'; DROP TABLE gateway_memoryentry; --"):
        assert find(odd) == []


@EVERY
def test_what_it_has_forgotten_it_does_not_find(memory, kept):
    first, second = kept(memory, HARBOUR), kept(memory, HARBOUR)

    memory.forget([first, uuid7()])
    MemoryEntry.objects.filter(pk=first).delete()

    assert memory.find(Question(kept.workspace.pk, "agent:hari", "harbour fees", 10)) == [second]
