"""Memories found by meaning: an embedder over real HTTP, pgvector, and what happens when either is not there."""

import time

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from audit.core.ids import uuid7
from gateway import embedding
from gateway.embedding import NoVectors, embed
from gateway.memories import meaning
from gateway.memories.meaning import Meaning
from gateway.memory import Kept, Question
from gateway.models import MemoryEntry, MemoryVector
from gateway.remembering import writing
from gateway.remembering.configured import memory_problem
from gateway.remembering.forgetting import forget_run
from tests.journeys import journey
from tests.remembering import done, of
from tests.wire.embedder import KEY, MODEL, demand_pgvector, embedder

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def server():
    with embedder() as found:
        yield found


@pytest.fixture
def words(server, settings):
    server.status, server.body, server.stalls = 200, None, False
    server.asked.clear()
    settings.WORKA_MEMORY = "meaning"
    settings.WORKA_EMBEDDER_URL, settings.WORKA_EMBEDDER_KEY, settings.WORKA_EMBEDDER_MODEL = server.url, KEY, MODEL
    settings.WORKA_EMBEDDER_CLOSENESS = 0.2  # an episode has many words beside those that were asked for
    return server


@pytest.fixture
def pgvector(words):
    demand_pgvector()


@pytest.fixture
def j(monkeypatch):
    writing._resting.clear()
    writing._caught_up.clear()
    return journey(monkeypatch)


def find(j, text, namespace="agent:hari", most=5):
    return Meaning().find(Question(j.house.workspace.pk, namespace, text, most))


def test_what_means_the_same_in_other_words_is_found(j, pgvector):
    fees, roses = done(j, "Sort the letters about harbour fees"), done(j, "Plant roses in the garden")

    assert find(j, "dock dues") == [of(fees)]
    assert find(j, "roses garden dues dock")[:1] == [of(roses)]
    assert find(j, "a moonlit concert") == []
    assert find(j, "dock dues", namespace="agent:ernest") == []
    assert memory_problem() == ""


def test_an_embedder_that_is_down_is_told_and_words_still_find(j, words, pgvector):
    run = done(j, "Sort the letters about harbour fees")
    words.status = 503

    assert find(j, "harbour fees") == [of(run)]
    assert find(j, "dock dues") == []
    assert "status 503" in memory_problem() and "words alone" in memory_problem()


def test_a_run_that_could_not_be_embedded_is_remembered_later(j, words):
    words.status = 500
    run = done(j, "Sort the letters about harbour fees")
    assert not MemoryEntry.objects.exists() and not MemoryVector.objects.exists()

    words.status = 200
    writing._resting.clear()
    writing._caught_up.clear()
    writing.remember_runs()

    assert MemoryEntry.objects.filter(run=run).count() == MemoryVector.objects.count() > 0


def test_what_is_erased_leaves_no_vector(j, words):
    run = done(j, "Sort the letters about harbour fees")
    assert MemoryVector.objects.exists()

    forget_run(run, by=j.house.by("dora"), because="they asked for it")

    assert not MemoryVector.objects.exists() and not MemoryEntry.objects.exists()


def test_vectors_of_another_model_or_size_are_not_compared(j, pgvector, settings):
    run = done(j, "Sort the letters about harbour fees")
    MemoryVector.objects.update(vector=[0.6, 0.8])

    assert find(j, "dock dues") == []
    settings.WORKA_EMBEDDER_MODEL = "another"
    assert find(j, "dock dues") == []
    assert find(j, "harbour fees") == [of(run)]


def test_what_was_remembered_before_or_by_another_model_is_embedded_anew_bit_by_bit(
    j, pgvector, settings, words, monkeypatch
):
    monkeypatch.setattr(writing, "AT_ONCE", 2)
    runs = [done(j, f"Sort the letters about harbour fees, {number}") for number in range(2)]
    many = MemoryEntry.objects.count()
    MemoryVector.objects.filter(entry_id__in=runs[0].memories.values("pk")).delete()
    settings.WORKA_EMBEDDER_MODEL = "another"
    assert find(j, "dock dues") == []

    words.status = 500
    writing.remember_runs()
    assert not MemoryVector.objects.filter(model="another").exists()
    words.status = 200
    writing.remember_runs()
    assert not MemoryVector.objects.filter(model="another").exists(), "it rests after a failure"
    with time_machine.travel(now() + writing.RESTS * 2, tick=True):
        writing.remember_runs()
        assert MemoryVector.objects.filter(model="another").count() == 2
        while MemoryVector.objects.filter(model="another").count() < many:
            writing.remember_runs()
        writing.remember_runs()
        with CaptureQueriesContext(connection) as asked:
            writing.remember_runs()

    assert set(find(j, "dock dues")) == {of(run) for run in runs}
    assert not [query for query in asked if "memoryvector" in query["sql"]], "it looked once too often"


def test_what_is_erased_while_it_is_embedded_anew_leaves_no_vector(j, settings, words, monkeypatch):
    run = done(j, "Sort the letters about harbour fees")
    settings.WORKA_EMBEDDER_MODEL = "another"

    def keep_late(self, entries):
        MemoryEntry.objects.filter(run=run).delete()
        keep(self, entries)

    keep = Meaning.keep
    monkeypatch.setattr(Meaning, "keep", keep_late)
    writing.remember_runs()

    assert not MemoryVector.objects.filter(model="another").exists()


def test_without_pgvector_the_words_find_and_health_says_so(j, words, monkeypatch):
    run = done(j, "Sort the letters about harbour fees")
    monkeypatch.setattr(meaning, "_has_pgvector", lambda: False)
    words.asked.clear()

    assert find(j, "harbour fees") == [of(run)]
    assert words.asked == []
    assert "no extension vector" in memory_problem()


WRONG = {
    "no json": "words", "no data": {}, "too few": {"data": []},
    "another size": {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
    "empty": {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
    "no numbers": {"data": [{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": ["y"]}]},
    "too long": {"data": [{"index": n, "embedding": [1.0] * 5000} for n in (0, 1)]},
}  # fmt: skip


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_an_answer_that_is_no_vector_for_each_text_is_refused(words, body):
    words.body = body

    with pytest.raises(NoVectors):
        embed(["one", "two"])


def test_a_wrong_key_a_stalling_server_and_no_setting_are_named_without_the_key(words, settings):
    words.stalls = True
    began = time.monotonic()
    with pytest.raises(NoVectors) as slow:
        embed(["one"], seconds=0.3)
    assert time.monotonic() - began < 5
    words.stalls = False
    settings.WORKA_EMBEDDER_KEY = "a-wrong-key"
    with pytest.raises(NoVectors) as wrong:
        embed(["one"])
    settings.WORKA_EMBEDDER_MODEL = ""
    with pytest.raises(NoVectors) as unset:
        embed(["one"])

    assert "in time" in str(slow.value) and "401" in str(wrong.value) and "WORKA_EMBEDDER_MODEL" in str(unset.value)
    assert "a-wrong-key" not in str(wrong.value)


def test_texts_are_cut_and_sent_in_bounded_numbers(words, j):
    Meaning().keep(
        [Kept(uuid7(), j.house.workspace.pk, "agent:hari", "harbour " * 4000) for _ in range(embedding.MOST_TEXTS + 1)]
    )

    assert [len(texts) for texts in words.asked] == [embedding.MOST_TEXTS, 1]
    assert max(len(text) for texts in words.asked for text in texts) == embedding.MOST_CHARACTERS
