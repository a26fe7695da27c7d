"""A gated skill call over HTTP with everything durable, beside the same server answering after one durable insert.

`python -m benchmarks.door` starts an embedded PostgreSQL of its own that flushes every commit, the agents' door on a Unix
socket in a process of its own with the sealer running, and calls it from here as an agent would: one client, then sixteen.
The peer is the floor of what any recording gateway must cost: the same stack, one INSERT and one commit per request.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALLS, CLIENTS, CALLS_EACH = 300, 16, 60


def prepare(home: Path) -> None:
    """Point every setting at a home of the benchmark's own, before Django is set up."""
    os.environ.update(WORKA_HOME=str(home), DJANGO_SETTINGS_MODULE="worka_site.settings", WORKA_LOG_LEVEL="ERROR")
    os.environ.pop("DATABASE_URL", None)


POLICY = """\
version: 1
agents:
  hari: {actions: [context.read, plan.propose]}
  ernest: {actions: [context.read, skill.invoke, artifact.read, artifact.write, step.finish], skills: ["files.*", "git.*"]}
rules:
  - hold: {tainted: true, side_effect: [write, external, destructive], ask: operators, because: "strangers' text"}
limits:
  run: {invocations: 100000}
"""


def serve(socket: str) -> None:
    """Serve the door and the peer until killed, and seal as `up` does."""
    import threading

    import django

    django.setup()
    import uvicorn
    from django.db import connection, transaction
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    from audit.tasks import seal_ledger
    from gateway.door.app import app as door
    from gateway.door.pools import in_database

    def insert() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO peer (said) VALUES ('something of about the size of a ledger entry')")

    async def peer(request: object) -> JSONResponse:
        await in_database(insert)
        return JSONResponse({"state": "succeeded"})

    def seal_for_ever() -> None:
        while True:
            seal_ledger()
            time.sleep(0.5)

    threading.Thread(target=seal_for_ever, daemon=True).start()
    uvicorn.run(
        Starlette(routes=[Route("/peer", peer, methods=["POST"]), Mount("/", door)]), uds=socket, log_level="error"
    )


def make_jobs(count: int, policy: str = POLICY) -> list[tuple[str, str]]:
    """Make runs whose one step is running, and return a token for each with its job's name."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connection

    from audit.keys import generate_key_file
    from audit.principals import SYSTEM, agent, person
    from gateway.connector import all_skills
    from governance.actions.manifests import activate_manifest, draft_manifest, submit_manifest
    from governance.actions.people import add_approvers, add_member, create_workspace
    from governance.actions.plans import propose_plan
    from governance.actions.registry import sync_agents, sync_skills
    from governance.actions.runs import request_run
    from governance.actions.steps import release_step
    from governance.caller import Caller
    from governance.models import Step
    from runtime.actions import accept_answer, start_planning, start_step_job
    from runtime.tokens import mint_token
    from worka_site.seed import AGENTS, POLICIES, _skill

    if not Path(settings.WORKA_KEYS_FILE).exists():
        generate_key_file(settings.WORKA_KEYS_FILE)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS peer (id bigserial PRIMARY KEY, said text)")
    workspace = create_workspace("bench", "Bench", by=SYSTEM, because="a benchmark")
    sync_skills([_skill(name) for name in sorted(all_skills())])
    sync_agents(AGENTS)
    ada = get_user_model().objects.create_user("ada")
    add_member(workspace, ada, "member", by=SYSTEM, because="a benchmark")
    add_approvers(workspace, "operators", [], by=SYSTEM, because="a benchmark")
    for scope, text in (
        (None, (POLICIES / "platform.yaml").read_text().replace("invocations: 2000", "invocations: 100000")),
        (workspace.pk, policy),
    ):
        draft = draft_manifest(scope, text, by=SYSTEM)
        submit_manifest(draft.pk, by=SYSTEM, because="a benchmark")
        activate_manifest(draft.pk, by=SYSTEM, because="a benchmark")
    made = []
    for _ in range(count):
        run = request_run(workspace.pk, by=person(ada), user=ada, text="a benchmark", source="api")
        planning = start_planning(run.pk, 1)
        assert planning is not None
        caller = Caller(agent("hari"), "hari", workspace.pk, run.pk, None, 1, planning.name)
        call = {"call_id": "c", "skill": "files.list", "input": {}}
        propose_plan(
            caller,
            {
                "summary": "a benchmark",
                "steps": [
                    {
                        "step_ref": "a",
                        "agent_name": "ernest",
                        "objective": "call",
                        "allowed_skills": ["files.list"],
                        "instruction": {"kind": "direct", "calls": [call]},
                        "depends_on": [],
                    }
                ],
            },
        )
        accept_answer(planning.pk, digest="0" * 64, status=201, answer={})
        step = Step.objects.get(run=run)
        release_step(step.pk, because="a benchmark")
        job = start_step_job(step.pk, 1)
        assert job is not None
        made.append((mint_token(job), job.name))
    return made


def percentile(sorted_ms: list[float], share: float) -> float:
    return sorted_ms[min(len(sorted_ms) - 1, int(len(sorted_ms) * share))]


async def measure(socket: str, tokens: list[str], calls: int, path: str, tag: str) -> tuple[list[float], float]:
    """Call with one client per token, each `calls` times; return the sorted latencies in ms, and the calls per second."""
    import httpx2

    latencies: list[float] = []

    async def client(token: str, number: int) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=socket)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://door", headers={"Authorization": f"Bearer {token}"}
        ) as http:
            for index in range(calls):
                body = {"call_id": f"{tag}.{number}.{index}", "skill": "files.list", "input": {}}
                began = time.perf_counter()
                answer = await http.post(path, json=body, timeout=30)
                latencies.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200 or answer.json()["state"] != "succeeded":
                    raise SystemExit(f"{answer.status_code}: {answer.text}")

    began = time.perf_counter()
    await asyncio.gather(*(client(token, number) for number, token in enumerate(tokens)))
    return sorted(latencies), len(latencies) / (time.perf_counter() - began)


def cost_of_a_call(token: str) -> tuple[int, int]:
    """Return how many statements and commits one call sends to the data base, with recognising its token."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from gateway.door.identity import recognise
    from gateway.tools import perform
    from governance.actions.reserve import request_call
    from runtime.tokens import verify_token

    request_call(recognise(verify_token(token)).caller, call_id="warm", skill="files.list", value={})
    with CaptureQueriesContext(connection) as asked:
        answer = request_call(recognise(verify_token(token)).caller, call_id="counted", skill="files.list", value={})
        if answer.work is not None:
            perform(answer.work)
    sent = [query["sql"] for query in asked]
    commits = sum(text.startswith("COMMIT") for text in sent)
    return len([text for text in sent if text.split(" ")[0] not in ("BEGIN", "COMMIT")]), commits


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--serve", default="", help=argparse.SUPPRESS)
    asked.add_argument("--home", default="", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.serve:
        prepare(Path(given.home))
        serve(given.serve)
        return
    with tempfile.TemporaryDirectory(prefix="worka-bench-") as folder:
        home = Path(folder)
        prepare(home)
        run(home)


def run(home: Path) -> None:
    import django
    from django.core.management import call_command

    from worka_site.private import private_postgres

    server = private_postgres()
    server.start()
    server.create_database()
    django.setup()
    call_command("migrate", verbosity=0)
    jobs = make_jobs(CLIENTS)
    socket = str(home / "door.sock")
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.door", "--serve", socket, "--home", str(home)])
    try:
        while not Path(socket).exists():
            time.sleep(0.05)
        tokens = [token for token, _ in jobs]
        asyncio.run(measure(socket, tokens[:1], 30, "/agent/v1/skills", "warm"))
        asyncio.run(measure(socket, tokens[:1], 30, "/peer", "warm"))
        statements, commits = cost_of_a_call(jobs[0][0])
        print(f"one gated call: {statements} statements, {commits} commits")
        print(f"{'':34}{'p50 ms':>9}{'p99 ms':>9}{'calls/s':>10}")
        for clients, calls in ((1, CALLS), (CLIENTS, CALLS_EACH)):
            for name, path in (("gated call, all durable", "/agent/v1/skills"), ("peer: one durable insert", "/peer")):
                found, rate = asyncio.run(measure(socket, tokens[:clients], calls, path, f"m{clients}"))
                label = f"{name}, {clients} client{'s' if clients > 1 else ''}"
                print(f"{label:34}{statistics.median(found):9.2f}{percentile(found, 0.99):9.2f}{rate:10.0f}")
    finally:
        process.terminate()
        process.wait()
        server.stop()


if __name__ == "__main__":
    main()
