"""Waiting costs no thread, and no agent can starve another."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from gateway.door.pools import CONNECTOR_THREADS, DATABASE_THREADS
from gateway.door.verbs import AT_ONCE_PER_TOKEN
from governance.models import Gate, SkillInvocation
from runtime.models import AgentJob
from tests.desk import Desk, step
from tests.gateway.door.visitors import visit


class Slow(list):
    """What the desk has done; a call waits in the middle of it until it is let go."""

    def __init__(self):
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def append(self, done):
        self.entered.release()
        assert self.go_on.wait(20)
        super().append(done)


def test_a_call_under_way_is_said_to_be_and_its_waiting_ends_with_its_outcome(ernest, working):
    slow = Desk.done = Slow()
    with ThreadPoolExecutor(4) as pool:
        asked = pool.submit(ernest.post, "/skills", {"call": "b"})
        assert slow.entered.acquire(timeout=10)
        now = ernest.get("/skills/b")
        assert (now.status_code, now.json()["state"]) == (202, "running")
        assert ernest.post("/skills", {"call": "b"}).json()["state"] == "running"
        waiting = [pool.submit(ernest.get, "/skills/b?wait=20") for _ in range(2)]
        time.sleep(0.3)
        slow.go_on.set()
        answers = [each.result(10).json() for each in (asked, *waiting)]

    assert answers == [{"state": "succeeded", "call_id": "b", "output": {"said": "MORE"}}] * 3
    assert SkillInvocation.objects.get().tries == 1


def test_waits_are_bounded_and_only_numbers(ernest):
    ernest.post("/skills", {"call": "b"})

    for wait in ("nan", "inf", "-inf", "soon", "1e999", ""):
        answer = ernest.get("/skills/b", params={"wait": wait})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), wait
    for wait in ("0", "-5", "20", "1e9"):
        assert ernest.get("/skills/b", params={"wait": wait}).status_code == 200


def test_a_call_of_another_step_or_of_nobody_is_not_there(visitor_of):
    visitor_of("send").post("/skills", {"call": "c"})
    ernest = visitor_of("look")

    assert ernest.get("/skills/c").status_code == 404
    assert ernest.get("/skills/never?wait=5").status_code == 404
    assert ernest.get("/skills/a%00b").status_code == 422


def test_more_waits_than_threads_do_not_starve_a_heartbeat(ernest, working, door_socket, settings):
    """Without `await` in the wait (a sleep in a thread instead) the heartbeat comes only after the waits."""
    settings.WORKA_MAX_JOBS = 20
    slow = Desk.done = Slow()
    first = working.run
    visitors = [ernest]
    for _ in range(3):
        working.ask("More")
        working.propose(step("look", ("b", "peek", "x")))
        visitors.append(visit(door_socket, working, "look"))
    working.run = first
    count = len(visitors) * (AT_ONCE_PER_TOKEN - 2)
    assert count > DATABASE_THREADS

    with ThreadPoolExecutor(count + len(visitors)) as pool:
        calls = [pool.submit(each.post, "/skills", {"call": "b"}) for each in visitors]
        for _ in visitors:
            assert slow.entered.acquire(timeout=10)
        waits = [pool.submit(each.get, "/skills/b?wait=20") for each in visitors for _ in range(AT_ONCE_PER_TOKEN - 2)]
        time.sleep(0.5)
        began = time.monotonic()
        assert ernest.post("/heartbeat").status_code == 200
        took = time.monotonic() - began
        assert not any(wait.done() for wait in waits)
        slow.go_on.set()
        assert {wait.result(20).json()["state"] for wait in waits} == {"succeeded"}
        assert {call.result(20).status_code for call in calls} == {200}
    assert took < 3
    for each in visitors[1:]:
        each.http.close()


def test_slow_connectors_do_not_starve_what_needs_none(ernest, working, door_socket, settings):
    settings.WORKA_MAX_JOBS = 20
    slow = Desk.done = Slow()
    first, visitors = working.run, [ernest]
    for _ in range(2):
        working.ask("More")
        working.propose(step("look", ("b", "peek", "x")))
        visitors.append(visit(door_socket, working, "look"))
    working.run = first
    wanted = [(each, index) for each in visitors for index in range(AT_ONCE_PER_TOKEN - 1)]
    assert len(wanted) > CONNECTOR_THREADS

    with ThreadPoolExecutor(len(wanted)) as pool:
        calls = [
            pool.submit(each.post, "/skills", {"call_id": f"n{index}", "skill": "desk.peek", "input": {"text": "x"}})
            for each, index in wanted
        ]
        for _ in range(CONNECTOR_THREADS):
            assert slow.entered.acquire(timeout=20)
        assert ernest.post("/heartbeat").status_code == 200
        assert ernest.put("/checkpoint", {"seq": 1, "state": 1}).status_code == 200
        slow.go_on.set()
        assert {call.result(30).json()["state"] for call in calls} == {"succeeded"}
    for each in visitors[1:]:
        each.http.close()


def test_one_token_has_only_so_many_requests_at_once_and_the_refusal_is_gated(ernest):
    slow = Desk.done = Slow()
    with ThreadPoolExecutor(AT_ONCE_PER_TOKEN) as pool:
        calls = [
            pool.submit(ernest.post, "/skills", {"call_id": f"n{index}", "skill": "desk.peek", "input": {"text": "x"}})
            for index in range(AT_ONCE_PER_TOKEN)
        ]
        for _ in calls:
            assert slow.entered.acquire(timeout=10)
        refused = ernest.post("/skills", {"call": "a"})
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "1"
        assert Gate.objects.get(pk=refused.json()["gate"]).effect == "deny"
        assert ernest.post("/heartbeat").status_code == 429
        slow.go_on.set()
        assert {call.result(20).status_code for call in calls} == {200}

    assert ernest.post("/heartbeat").status_code == 200
    assert AgentJob.objects.get(pk=ernest.job.pk).last_sign_at


def test_no_connection_to_the_data_base_is_held_while_a_call_waits(ernest, working):
    from django.db import connection

    slow = Desk.done = Slow()
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(ernest.post, "/skills", {"call": "b"})
        assert slow.entered.acquire(timeout=10)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                others = cursor.fetchone()[0]
            if not others:
                break
            time.sleep(0.05)
        slow.go_on.set()
        call.result(10)
    assert others == 0
