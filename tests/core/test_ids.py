from uuid import UUID

import pytest
import time_machine

from audit.core.ids import parse_id, uuid7
from audit.core.refusals import Refused


def test_an_id_is_a_uuid_of_version_7():
    made = uuid7()

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


@time_machine.travel("2026-11-21T08:00:00.123Z", tick=False)
def test_an_id_begins_with_the_time_in_milliseconds():
    assert uuid7().int >> 80 == 1795248000123


def test_ids_sort_by_the_time_they_were_made():
    with time_machine.travel("2026-11-21T08:00:00Z", tick=False):
        earlier = uuid7()
    with time_machine.travel("2026-11-21T08:00:00.001Z", tick=False):
        later = uuid7()

    assert earlier < later
    assert str(earlier) < str(later)


def test_ids_of_one_millisecond_differ():
    with time_machine.travel("2026-11-21T08:00:00Z", tick=False):
        assert len({uuid7() for _ in range(1000)}) == 1000


def test_an_id_is_read_back():
    made = uuid7()

    assert parse_id(str(made)) == made == parse_id(made)


@pytest.mark.parametrize("text", ["", "142", "x" * 36, None, "../../etc/passwd", "0" * 31, {"id": 1}])
def test_what_names_nothing_is_not_found(text):
    with pytest.raises(Refused) as refused:
        parse_id(text)

    assert refused.value.code == "not_found"
    assert refused.value.code.status == 404


def test_the_refusal_of_a_long_id_does_not_repeat_all_of_it():
    with pytest.raises(Refused) as refused:
        parse_id("x" * 10_000)

    assert len(str(refused.value)) < 100


def test_an_id_has_no_other_spelling_than_uuids_have():
    made = uuid7()

    assert parse_id(f"urn:uuid:{made}") == UUID(str(made))
