"""Every pair of what is wanted and what is seen, decided."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.jobs import JOB, OPEN_JOB, Ended, JobSpec, JobState, Limits, Phase, Seen
from runtime.core.reconcile import BurnKind, Command, Do, JobFacts, next_command

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(minutes=5), NOW - timedelta(minutes=5)
JUST_NOW = NOW - timedelta(seconds=3)
QUEUED, SUBMITTED, RUNNING = OPEN_JOB
UNKNOWN, PENDING, ALIVE = Seen(Phase.UNKNOWN), Seen(Phase.PENDING), Seen(Phase.RUNNING)


def ended(how: Ended, code: int | None = None) -> Seen:
    return Seen(Phase.ENDED, how, code)


@pytest.mark.parametrize(
    ("job", "seen", "do", "kind"),
    [
        (JobFacts(QUEUED, True), UNKNOWN, Do.SUBMIT, None),
        (JobFacts(QUEUED, True, LATER), UNKNOWN, Do.SUBMIT, None),
        # A crash after submit and before the row: submitting again does nothing, and the row catches up.
        (JobFacts(QUEUED, True), ALIVE, Do.SUBMIT, None),
        (JobFacts(QUEUED, True, EARLIER), ALIVE, Do.SUBMIT, None),
        (JobFacts(QUEUED, True), ended(Ended.EXITED, 0), Do.SUBMIT, None),
        (JobFacts(QUEUED, True, EARLIER), UNKNOWN, Do.RECORD_FAILURE, BurnKind.JOB_TIMEOUT),
        (JobFacts(QUEUED, False), UNKNOWN, Do.RECORD_CANCEL, None),
        (JobFacts(QUEUED, False), ALIVE, Do.KILL, None),
        (JobFacts(QUEUED, False), ended(Ended.KILLED), Do.RECORD_CANCEL, None),
        (JobFacts(SUBMITTED, True), PENDING, Do.WAIT, None),
        (JobFacts(SUBMITTED, True), ALIVE, Do.RECORD_START, None),
        (JobFacts(RUNNING, True, LATER), ALIVE, Do.WAIT, None),
        (JobFacts(RUNNING, True, JUST_NOW), ALIVE, Do.WAIT, None),
        (JobFacts(RUNNING, True, EARLIER), ALIVE, Do.KILL, None),
        (JobFacts(SUBMITTED, True, EARLIER), PENDING, Do.KILL, None),
        (JobFacts(RUNNING, False), ALIVE, Do.KILL, None),
        (JobFacts(SUBMITTED, False), PENDING, Do.KILL, None),
        (JobFacts(RUNNING, False), ended(Ended.KILLED), Do.RECORD_CANCEL, None),
        (JobFacts(RUNNING, False), ended(Ended.EXITED, 1), Do.RECORD_CANCEL, None),
        (JobFacts(SUBMITTED, False), UNKNOWN, Do.RECORD_CANCEL, None),
        (JobFacts(RUNNING, True), UNKNOWN, Do.RECORD_LOST, BurnKind.JOB_LOST),
        (JobFacts(RUNNING, True), ended(Ended.LOST), Do.RECORD_LOST, BurnKind.JOB_LOST),
        (JobFacts(RUNNING, True), ended(Ended.EXITED, 0), Do.RECORD_FAILURE, BurnKind.BAD_OUTPUT),
        (JobFacts(SUBMITTED, True), ended(Ended.EXITED, 0), Do.RECORD_FAILURE, BurnKind.BAD_OUTPUT),
        (JobFacts(RUNNING, True), ended(Ended.EXITED, 1), Do.RECORD_FAILURE, BurnKind.JOB_FAILED),
        (JobFacts(RUNNING, True), ended(Ended.SIGNALLED, 139), Do.RECORD_FAILURE, BurnKind.JOB_FAILED),
        (JobFacts(RUNNING, True), ended(Ended.OOM), Do.RECORD_FAILURE, BurnKind.OOM),
        (JobFacts(RUNNING, True), ended(Ended.NOT_STARTED), Do.RECORD_FAILURE, BurnKind.INTERNAL),
        (JobFacts(RUNNING, True), ended(Ended.TIMED_OUT), Do.RECORD_TIMEOUT, BurnKind.JOB_TIMEOUT),
        (JobFacts(RUNNING, True, LATER), ended(Ended.KILLED), Do.RECORD_FAILURE, BurnKind.JOB_FAILED),
        (JobFacts(RUNNING, True, EARLIER), ended(Ended.KILLED), Do.RECORD_TIMEOUT, BurnKind.JOB_TIMEOUT),
        # An accepted result is the end of the matter, however the process then leaves.
        (JobFacts(RUNNING, True, None, JUST_NOW), ALIVE, Do.WAIT, None),
        (JobFacts(SUBMITTED, True, None, JUST_NOW), ALIVE, Do.RECORD_START, None),
        (JobFacts(RUNNING, True, None, NOW - timedelta(seconds=10)), ALIVE, Do.KILL, None),
        (JobFacts(RUNNING, False, None, JUST_NOW), ALIVE, Do.KILL, None),
        (JobFacts(RUNNING, True, None, JUST_NOW), ended(Ended.EXITED, 0), Do.RECORD_SUCCESS, None),
        (JobFacts(RUNNING, True, None, EARLIER), ended(Ended.KILLED), Do.RECORD_SUCCESS, None),
        (JobFacts(RUNNING, True, None, EARLIER), ended(Ended.OOM), Do.RECORD_SUCCESS, None),
        (JobFacts(RUNNING, False, None, EARLIER), ended(Ended.KILLED), Do.RECORD_SUCCESS, None),
        (JobFacts(SUBMITTED, True, None, EARLIER), UNKNOWN, Do.RECORD_SUCCESS, None),
    ],
)
def test_the_next_command_follows_from_what_is_wanted_and_seen(
    job: JobFacts, seen: Seen, do: Do, kind: BurnKind | None
):
    command = next_command(job, seen, NOW)

    assert (command.do, command.kind) == (do, kind)


EVENT = {
    Do.SUBMIT: "submit",
    Do.RECORD_START: "start",
    Do.RECORD_SUCCESS: "succeed",
    Do.RECORD_FAILURE: "fail",
    Do.RECORD_TIMEOUT: "time_out",
    Do.RECORD_LOST: "lose",
    Do.RECORD_CANCEL: "cancel",
}
moments = st.none() | st.sampled_from([EARLIER, JUST_NOW, NOW, LATER])
facts = st.builds(JobFacts, st.sampled_from(JobState), st.booleans(), moments, moments)
sights = st.one_of(
    st.sampled_from([UNKNOWN, PENDING, ALIVE]),
    st.builds(ended, st.sampled_from(Ended), st.none() | st.integers(0, 255)),
)


@given(facts, sights)
def test_what_is_recorded_is_always_a_move_of_the_machine(job: JobFacts, seen: Seen):
    command = next_command(job, seen, NOW)

    if command.do in EVENT:
        JOB.after(job.state, EVENT[command.do])
    if job.state not in OPEN_JOB:
        assert command == Command(Do.WAIT)


@given(facts, sights)
def test_a_bad_end_has_a_kind_and_every_end_a_reason(job: JobFacts, seen: Seen):
    command = next_command(job, seen, NOW)

    bad = command.do in (Do.RECORD_FAILURE, Do.RECORD_TIMEOUT, Do.RECORD_LOST)
    assert (command.kind is not None) == bad
    assert bool(command.because) == (command.do not in (Do.SUBMIT, Do.WAIT, Do.RECORD_START))


@given(facts, sights)
def test_a_job_that_may_still_run_is_never_recorded_as_ended(job: JobFacts, seen: Seen):
    command = next_command(job, seen, NOW)

    if seen.phase in (Phase.PENDING, Phase.RUNNING):
        assert command.do in (Do.SUBMIT, Do.WAIT, Do.KILL, Do.RECORD_START)


@given(facts, sights)
def test_a_job_whose_result_was_accepted_never_fails(job: JobFacts, seen: Seen):
    command = next_command(job, seen, NOW)

    if job.result_at is not None and job.state is not JobState.QUEUED:
        assert command.do in (Do.WAIT, Do.KILL, Do.RECORD_START, Do.RECORD_SUCCESS)


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "..", ".", "-a", "a-", "a" * 64, "a\n", "a b"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str):
    with pytest.raises(ValueError, match="is no name"):
        JobSpec(name, ("true",))


def test_only_the_listed_names_may_be_in_an_agents_environment():
    with pytest.raises(ValueError, match="ANTHROPIC_API_KEY, PATH"):
        JobSpec("a", ("true",), {"PATH": "/", "ANTHROPIC_API_KEY": "x", "WORKA_JOB": "a"})


@pytest.mark.parametrize(
    "spec",
    [
        {"argv": ()},
        {"argv": ("a\0b",)},
        {"argv": ("a",), "token": "a\0b"},
        {"argv": ("a",), "env": {"WORKA_JOB": "\0"}},
    ],
)
def test_a_command_that_cannot_be_passed_on_is_refused(spec: dict):
    with pytest.raises(ValueError, match="the job a has"):
        JobSpec("a", **spec)


def test_a_token_is_not_in_what_is_printed_of_a_job():
    assert "hush" not in repr(JobSpec("a", ("true",), token="hush"))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "7", None])
def test_a_limit_is_a_positive_whole_number(value: object):
    with pytest.raises(ValueError, match="the limit pids is"):
        Limits(pids=value)


def test_limits_come_back_from_where_they_were_stored():
    limits = Limits(memory_bytes=2**28, wall_s=60)

    assert Limits.from_json(limits.as_json()) == limits
    assert Limits.from_json({"wall_s": 60}).memory_bytes == Limits().memory_bytes
