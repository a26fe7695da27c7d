"""Whether a consent still covers a call: each way in which it does not, by its own reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from governance.core.consent import CallNow, ConsentFact, void_because

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CONSENT = ConsentFact("acme", "approved", "p" * 64, "", NOW + timedelta(minutes=1), "h" * 64)
CALL = CallNow("acme", "call-1", "p" * 64, "s" * 64, "s" * 64, "h" * 64)
VOID = {
    "other_workspace": (replace(CONSENT, workspace="umbrella"), CALL),
    "expired": (replace(CONSENT, gate_state="expired"), CALL),
    "rejected": (replace(CONSENT, gate_state="rejected"), CALL),
    "already_used": (replace(CONSENT, used_by="call-2"), CALL),
    "skill_changed": (CONSENT, replace(CALL, skill_digest="t" * 64)),
    "plan_changed": (CONSENT, replace(CALL, plan_hash="i" * 64)),
    "payload_changed": (CONSENT, replace(CALL, payload_digest="q" * 64)),
    "not_found": (None, CALL),
}


@pytest.mark.parametrize(("code", "case"), VOID.items(), ids=VOID.keys())
def test_each_way_has_its_reason(code, case):
    void = void_because(*case, NOW)

    assert void is not None and (str(void[0]), bool(void[1])) == (code, True)


def test_it_is_good_once_until_its_time_and_for_the_call_that_has_used_it_also_later():
    late = NOW + timedelta(hours=1)

    assert void_because(CONSENT, CALL, NOW) is None
    assert void_because(CONSENT, CALL, late)[0] == "expired"
    assert void_because(replace(CONSENT, until=None), CALL, NOW)[0] == "expired"
    assert void_because(replace(CONSENT, used_by="call-1"), CALL, late) is None
