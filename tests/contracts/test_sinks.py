"""Every sink there is keeps the contract: each entry, in order, at least once, and twice does no harm."""

import json

import pytest

from audit.core.canonical import canonical
from audit.core.proof import entry_digest
from audit.ledger import record
from audit.models import AuditEvent
from audit.principals import SYSTEM
from audit.sealing import seal
from audit.sink import all_sinks
from audit.sinks.json_file import JsonFile
from tests.receivers import HttpReceiver, SyslogReceiver, authority

EVERY = pytest.mark.parametrize("name", sorted(all_sinks()))


@pytest.fixture
def written(settings, tmp_path, capsys):
    """A function that returns the lines which a sink has stored, wherever that is."""
    settings.WORKA_SINK_FILE = tmp_path / "logs" / "ledger.jsonl"
    settings.WORKA_WEBHOOK_SECRET = "whsec_" + "c2VjcmV0" * 4
    settings.WORKA_SINK_CA_FILE, tls = authority(tmp_path / "tls")
    printed = []

    with HttpReceiver() as web, SyslogReceiver(tls) as log:
        settings.WORKA_WEBHOOK_URL = web.url
        settings.WORKA_SYSLOG_ADDRESS = f"127.0.0.1:{log.port}"

        def read(name):
            match name:
                case "stdout":
                    printed.append(capsys.readouterr().out)
                    return "".join(printed).splitlines()
                case "json_file":
                    path = settings.WORKA_SINK_FILE
                    return path.read_text().splitlines() if path.exists() else []
                case "webhook":
                    return [json.dumps(json.loads(asked.body)["data"]) for asked in web.taken]
                case "syslog":
                    return [message.text.decode() for message in log.taken]
            raise AssertionError(f"say here how what {name} stores is read")

        yield read


@pytest.fixture
def events(db, settings, tmp_path):
    settings.WORKA_TREE_HEADS = tmp_path / "heads.jsonl"
    for n in range(5):
        record("lamp.light", f"lamps.lamp:{n}", by=SYSTEM, because="two\nlines", n=n)
    seal()
    return list(AuditEvent.objects.sealed())


def test_the_sinks_of_this_release_are_there():
    assert {"json_file", "stdout", "syslog", "webhook"} <= all_sinks().keys()


@EVERY
def test_entries_arrive_whole_and_in_order(name, events, written):
    assert all_sinks()[name].problem() == ""
    sink = all_sinks()[name].configured()

    sink.write(events[:2])
    sink.write(events[2:])

    lines = [json.loads(line) for line in written(name)]
    assert [line["position"] for line in lines] == [1, 2, 3, 4, 5]
    for line, event in zip(lines, events, strict=True):
        id_, _position, seal_ = line.pop("id"), line.pop("position"), line.pop("seal")
        assert seal_ == 1
        # What stands there is enough to compute the entry's digest: the sink is evidence, not only a copy.
        assert entry_digest(id_, canonical(line)) == entry_digest(event.pk, bytes(event.body))


@EVERY
def test_an_entry_that_comes_twice_can_be_told_by_its_position(name, events, written):
    sink = all_sinks()[name].configured()
    sink.write(events[:3])

    all_sinks()[name].configured().write(events[1:])

    positions = [json.loads(line)["position"] for line in written(name)]
    assert sorted(set(positions)) == [1, 2, 3, 4, 5]


@EVERY
def test_nothing_to_write_is_no_trouble(name, events, written):
    sink = all_sinks()[name].configured()

    sink.write([])

    assert written(name) == []


# --- json_file -------------------------------------------------------------------------------------------------------


def positions(path):
    return [json.loads(line)["position"] for line in path.read_text().splitlines()]


def test_the_file_holds_each_entry_once(events, tmp_path):
    path = tmp_path / "ledger.jsonl"

    for batch in (events[:3], events[:3], events[1:], events):
        JsonFile(path).write(batch)

    assert positions(path) == [1, 2, 3, 4, 5]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_line_that_a_crash_tore_is_written_again(events, tmp_path, cut):
    path = tmp_path / "ledger.jsonl"
    JsonFile(path).write(events[:3])
    path.write_bytes(path.read_bytes()[:-cut])

    JsonFile(path).write(events)

    assert positions(path) == [1, 2, 3, 4, 5]


def test_a_file_with_nothing_but_a_torn_line_begins_anew(events, tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"posi')

    JsonFile(path).write(events)

    assert positions(path) == [1, 2, 3, 4, 5]


def test_lines_longer_than_a_block_are_found(events, tmp_path):
    path = tmp_path / "ledger.jsonl"
    record("lamp.light", "lamps.lamp:long", by=SYSTEM, because="x" * 200_000)
    seal()
    every = list(AuditEvent.objects.sealed())
    JsonFile(path).write(every)

    JsonFile(path).write(every)

    assert positions(path) == [1, 2, 3, 4, 5, 6]


def test_a_file_that_was_moved_away_is_begun_anew(events, tmp_path):
    path = tmp_path / "ledger.jsonl"
    JsonFile(path).write(events[:3])
    path.rename(tmp_path / "ledger.1")

    JsonFile(path).write(events[3:])

    assert positions(path) == [4, 5]


def test_a_place_that_cannot_be_written_to_is_an_error(events, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match="file"):
        JsonFile(tmp_path / "file" / "ledger.jsonl").write(events)
