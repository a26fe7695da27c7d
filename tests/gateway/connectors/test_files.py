"""The workspace's documents through the files connector: versions, taint, walls, bounds and repeats."""

import hashlib
import time
from importlib import import_module
from types import SimpleNamespace
from uuid import uuid4

import jsonschema
import pytest
from django.apps import apps
from django.db import OperationalError

from audit.core.canonical import canonical
from audit.core.codes import Code
from gateway import documents
from gateway.connector import CallContext, SkillFailed
from gateway.connectors.files import Files
from gateway.models import Document, DocumentVersion
from governance.models import Workspace

pytestmark = pytest.mark.django_db
SPECS = {spec.verb: spec for spec in Files.skills}


class Caller:
    """Somebody's calls in one workspace."""

    def __init__(self, slug):
        self.workspace, _ = Workspace.objects.get_or_create(slug=slug, defaults={"name": slug})
        self.artifacts = {}

    def outcome(self, verb, *, taint=(), invocation=None, seconds=30, **arguments):
        jsonschema.validate(arguments, SPECS[verb].input_schema)
        context = CallContext(
            self.workspace.pk,
            invocation or uuid4(),
            self.artifacts.__getitem__,
            time.monotonic() + seconds,
            SimpleNamespace(),
            frozenset(taint),
        )
        outcome = Files().call(verb, arguments, context)
        canonical(outcome.output)
        jsonschema.validate(outcome.output, SPECS[verb].output_schema)
        return outcome

    def __call__(self, verb, **arguments):
        return self.outcome(verb, **arguments).output

    def artifact(self, content, **changes):
        self.artifacts["a1"] = content
        digest = hashlib.sha256(content).hexdigest()
        return {"$artifact": {"id": "a1", "name": "report.md", "sha256": digest, **changes}}


@pytest.fixture
def files():
    return Caller("acme")


def test_what_is_written_can_be_listed_read_and_found(files):
    written = files("write", path="reports/june.md", content="# June\nGrüße\n")

    assert written["created"] is True
    read = files("read", path="reports/june.md")
    assert (read["text"], read["version"], read["media_type"], read["binary"]) == (
        "# June\nGrüße\n",
        1,
        "text/markdown",
        False,
    )
    assert read["sha256"] == hashlib.sha256("# June\nGrüße\n".encode()).hexdigest()
    assert [found["path"] for found in files("list")["documents"]] == ["reports/june.md"]
    assert files("search", text="GRÜSSE")["matches"] == [{"path": "reports/june.md", "line": 2, "text": "Grüße"}]


def test_a_new_version_leaves_the_old_one_in_place(files):
    files("write", path="a.txt", content="one")
    second = files("write", path="a.txt", content="two")

    assert (second["version"], second["created"]) == (2, False)
    assert files("read", path="a.txt")["text"] == "two"
    assert files("read", path="a.txt", version=1)["text"] == "one"
    assert [found["version"] for found in files("list")["documents"]] == [2]
    assert files("search", text="one")["matches"] == []


def test_the_same_invocation_writes_once_and_gets_the_same_answer(files):
    invocation = uuid4()
    first = files("write", path="a.txt", content="one", invocation=invocation)
    files("write", path="a.txt", content="two")

    again = files("write", path="a.txt", content="one", invocation=invocation)
    careful = files("write", path="a.txt", content="one", invocation=invocation, if_exists="fail")

    assert first == again == careful
    assert DocumentVersion.objects.count() == 2
    assert files("read", path="a.txt")["text"] == "two"


def test_if_exists_fail_leaves_what_is_there(files):
    files("write", path="a.txt", content="one", if_exists="fail")

    with pytest.raises(SkillFailed, match="already") as failed:
        files("write", path="a.txt", content="two", if_exists="fail")

    assert (failed.value.code, failed.value.effect) == (Code.BAD_INPUT, "none")
    assert files("read", path="a.txt")["version"] == 1


def test_a_document_keeps_the_taint_of_its_writer_and_gives_it_to_its_readers(files):
    files("write", path="clean.txt", content="needle")
    files("write", path="dirty.txt", content="needle", taint={"untrusted_output", "reads_private"})

    dirty = {"untrusted_output", "reads_private"}
    assert files.outcome("read", path="clean.txt").taint == frozenset()
    assert files.outcome("read", path="dirty.txt").taint == dirty
    assert files.outcome("list").taint == dirty
    assert files.outcome("list", prefix="clean").taint == frozenset()
    assert files.outcome("search", text="needle").taint == dirty
    assert files.outcome("search", text="needle", prefix="clean").taint == frozenset()


def test_a_clean_new_version_does_not_wash_the_old_one(files):
    files("write", path="a.txt", content="dirty", taint={"untrusted_output"})
    files("write", path="a.txt", content="clean")

    assert files.outcome("read", path="a.txt").taint == frozenset()
    assert files.outcome("read", path="a.txt", version=1).taint == {"untrusted_output"}


def test_one_workspace_never_sees_anothers_documents(files):
    files("write", path="a.txt", content="needle")
    other = Caller("other")

    assert other("list")["documents"] == []
    assert other("search", text="needle")["matches"] == []
    with pytest.raises(SkillFailed) as failed:
        other("read", path="a.txt")
    assert failed.value.code is Code.NOT_FOUND

    other("write", path="a.txt", content="theirs")
    assert files("read", path="a.txt")["text"] == "needle"


def test_an_artifact_is_written_byte_for_byte(files):
    content = b"\x89PNG\x00\xff"

    written = files("write", path="picture.png", content=files.artifact(content))

    read = files("read", path="picture.png")
    assert (written["size"], read["binary"], read["text"], read["media_type"]) == (6, True, "", "image/png")
    assert bytes(DocumentVersion.objects.get().content) == content
    assert files("search", text="PNG")["matches"] == []


def test_an_artifact_that_is_not_the_agreed_one_is_not_written(files):
    with pytest.raises(SkillFailed, match="SHA-256") as failed:
        files("write", path="a.md", content=files.artifact(b"other", sha256="0" * 64))

    assert (failed.value.code, failed.value.effect) == (Code.PAYLOAD_CHANGED, "none")
    assert not Document.objects.exists()


@pytest.mark.parametrize("reference", [{"id": "nothing", "sha256": "0" * 64}, {"step": "a", "name": "report.md"}])
def test_an_artifact_that_cannot_be_opened_is_refused(files, reference):
    with pytest.raises(SkillFailed) as failed:
        files("write", path="a.md", content={"$artifact": reference})

    assert failed.value.effect == "none"
    assert not Document.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a/./b",
        "a//b",
        "a/",
        " a",
        "a ",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "a\u200bb",
        "e\u0301",
        "..",
        "a\ud7ff\ue000",
    ],
)
def test_a_path_that_could_mislead_is_refused(files, path):
    for verb, more in (("write", {"content": "x"}), ("read", {})):
        with pytest.raises(SkillFailed) as failed:
            files(verb, path=path, **more)
        assert (failed.value.code, failed.value.effect) == (Code.BAD_INPUT, "none")

    assert not Document.objects.exists()


def test_a_document_has_a_largest_size(files, monkeypatch):
    monkeypatch.setattr(documents, "CONTENT_MOST", 10)
    files("write", path="a.txt", content="0123456789")

    with pytest.raises(SkillFailed) as failed:
        files("write", path="a.txt", content="0123456789+")

    assert failed.value.code is Code.TOO_LARGE
    assert files("read", path="a.txt")["version"] == 1


def test_a_long_document_is_read_up_to_a_bound_and_says_so(files):
    files("write", path="a.txt", content="ü" * 200_000)

    read = files("read", path="a.txt")

    assert (read["size"], read["truncated"], len(read["text"])) == (400_000, True, 128 * 1024)


def test_lists_and_searches_stop_at_their_limits(files):
    for number in range(4):
        files("write", path=f"n/{number}.txt", content="needle\n" * 3)
    files("write", path="other.txt", content="nothing")

    listed = files("list", prefix="n/", limit=3)
    found = files("search", text="needle", limit=5)

    assert ([entry["path"] for entry in listed["documents"]], listed["truncated"]) == (
        ["n/0.txt", "n/1.txt", "n/2.txt"],
        True,
    )
    assert (len(found["matches"]), found["truncated"]) == (5, True)
    assert files("search", text="needle", limit=12)["truncated"] is False
    assert files("search", text="needle", seconds=-1)["truncated"] is True
    # No line is found, so only a look at the clock at each document can tell.
    assert files("search", text="nowhere at all", seconds=-1) == {"matches": [], "truncated": True}


def test_a_prefix_is_plain_text(files):
    files("write", path="ab.txt", content="x")

    assert files("list", prefix="%")["documents"] == []
    assert files("list", prefix="a_")["documents"] == []


def test_a_long_line_is_cut(files):
    files("write", path="a.txt", content="needle" + "x" * 2000)

    assert len(files("search", text="needle")["matches"][0]["text"]) == 500


def test_a_data_base_that_is_away_is_a_skill_failure(files, monkeypatch):
    def away(*_, **__):
        raise OperationalError("gone")

    monkeypatch.setattr("gateway.connectors.files.write_document", away)
    monkeypatch.setattr("gateway.connectors.files.read_document", away)

    with pytest.raises(SkillFailed) as written:
        files("write", path="a.txt", content="x")
    with pytest.raises(SkillFailed) as read:
        files("read", path="a.txt")

    assert (written.value.effect, written.value.code) == ("maybe", Code.UNAVAILABLE)
    assert read.value.effect == "none"


def test_words_find_the_best_lines_of_the_best_documents_within_bounds(files):
    files(
        "write",
        path="long.md",
        content="\n".join(f"harbour {n}" for n in range(40)) + "\nthe harbour fee\n" + "x" * 9000,
    )
    for number in range(12):
        files("write", path=f"short/{number:02}.md", content="A fee\nfor the harbour.")

    found = files("search", text="harbour fees", by="words", limit=500)["matches"]
    cut = files("search", text="harbour fees", by="words", limit=3)

    assert len({match["path"] for match in found}) == 10  # documents, of thirteen
    long = files("search", text="fee harbour", by="words", prefix="long")["matches"]
    assert len(long) == 5 and {"path": "long.md", "line": 41, "text": "the harbour fee"} in long
    assert cut["truncated"] is True and len(cut["matches"]) == 3
    assert files("search", text="harbour fees", by="words", prefix="sho%")["matches"] == []
    for odd in ("the of and", "' | !& <-> :*", "\x00", "%"):
        assert files("search", text=odd, by="words") == {"matches": [], "truncated": False}
    assert files("search", text="harbour", by="words", seconds=-1) == {"matches": [], "truncated": True}


def test_a_text_with_more_words_than_an_index_takes_is_kept_and_found_by_its_beginning(files):
    text = " ".join(f"http://h{n:x}.example/p-{n:x}" for n in range(60_000))

    assert files("write", path="many.txt", content=text[:1_000_000])["version"] == 1

    assert files("search", text="h7.example", by="words")["matches"][0]["path"] == "many.txt"


def test_texts_from_before_there_was_an_index_are_found_by_their_words_too(files):
    files("write", path="old.md", content="The harbour fee")
    files("write", path="logo.png", content="\x00")
    DocumentVersion.objects.update(words=None)
    assert files("search", text="harbour fees", by="words")["matches"] == []

    import_module("gateway.migrations.0007_document_words").find_words(apps, None)

    assert [match["path"] for match in files("search", text="harbour fees", by="words")["matches"]] == ["old.md"]
    assert DocumentVersion.objects.get(document__path="logo.png").words is None
