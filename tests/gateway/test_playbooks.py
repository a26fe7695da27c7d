"""One bad file among the playbooks is left out, and said; the others are served."""

import logging

import pytest

from audit.core.canonical import digest
from gateway import health
from gateway.playbooks import broken_playbooks, playbooks
from governance.context import context_for
from tests.journeys import journey
from worka_site.diagnosis import Level, _playbooks

BAD = {
    "a-list.yaml": (b"- name: x\n", "it is no mapping with a `name`"),
    "bad-bytes.yaml": (b"name: \xff\n", "it is not UTF-8"),
    "date.yaml": (b"name: dated\nmatch: [2026-11-21]\n", "date"),
    "deep.yaml": (b"name: deep\nplan: " + b"[" * 2000 + b"]" * 2000, "nested too deep"),
    "empty.yaml": (b"", "it is no mapping with a `name`"),
    "no-yaml.yaml": (b"name: x\nmatch: [unclosed\n", "it is no YAML: line 3"),
    "nameless.yaml": (b"description: x\n", "it is no mapping with a `name`"),
    "python.yaml": (b"name: !!python/name:os.system\n", "it is no YAML: line 1"),
    "twice.yaml": (b"name: good\n", "good.yaml has the same name"),
}


@pytest.fixture
def folder(tmp_path, settings):
    settings.WORKA_PLAYBOOKS = tmp_path
    (tmp_path / "good.yaml").write_text("name: good\nmatch: [x]\n")
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    return tmp_path


def test_what_cannot_be_read_is_left_out_with_its_reason(folder):
    good = {"name": "good", "match": ["x"]}
    why = {each.file: each.why for each in broken_playbooks()}

    assert playbooks() == [{"name": "good", "digest": digest(good), "text": good}]
    assert set(why) == {*BAD, "gone.yaml"}
    assert {name: says for name, (_, says) in BAD.items() if says not in why[name]} == {}
    assert str(folder) not in str(why)


def test_a_planner_gets_its_context_all_the_same(folder, db, monkeypatch):
    j = journey(monkeypatch)
    j.ask()

    context = context_for(j.caller(), playbooks=playbooks)

    assert [each["name"] for each in context["planning"]["playbooks"]] == ["good"]


def test_health_and_the_doctor_name_the_files(folder):
    check, *findings = health._playbooks("playbooks"), *_playbooks()

    assert not check.healthy and not check.essential and "no-yaml.yaml (it is no YAML: line 3" in check.detail
    weak = {finding.says.partition(" ")[0] for finding in findings if finding.level is Level.WEAK}
    assert weak >= {*BAD, "gone.yaml"}


def test_the_shipped_playbooks_are_all_read(caplog):
    (finding,) = _playbooks()

    assert broken_playbooks() == [] and health._playbooks("playbooks").healthy and len(playbooks()) >= 2
    assert finding.level is Level.GOOD and not [each for each in caplog.records if each.levelno > logging.INFO]
