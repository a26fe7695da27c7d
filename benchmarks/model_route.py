"""What the gateway adds to a model call: at the door, decided, reserved, recorded and settled, over the same call made directly.

`python -m benchmarks.model_route` starts an embedded PostgreSQL of its own that flushes every commit, a model server that
answers at once, and the agents' door on a Unix socket; it makes the same call directly and through the door, whole and
streamed, with one client (in turns) and with sixteen. With `--litellm PYTHON` (the Python of an environment that has `litellm[proxy]`)
LiteLLM's proxy in its `network_mock` mode, which decides and records nothing, answers in the same run.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.door import make_jobs, percentile, prepare

CALLS, CLIENTS, CALLS_EACH, WARM = 300, 16, 25, 30
POLICY = """\
version: 1
agents:
  hari: {actions: [context.read, plan.propose]}
  ernest: {actions: [context.read, skill.invoke, llm.call, step.finish], skills: ["files.*"], models: ["claude-*"]}
limits:
  run: {invocations: 100000, tokens: 100000000, usd: "1000"}
"""
ASK = {"model": "claude-bench", "max_tokens": 50, "messages": [{"role": "user", "content": "Good morning"}]}
LITELLM = """\
model_list:
  - model_name: claude-bench
    litellm_params: {model: openai/gpt-4o, api_key: sk-none, api_base: "https://api.openai.com"}
litellm_settings: {network_mock: true, callbacks: [], num_retries: 0, request_timeout: 30}
general_settings: {master_key: sk-bench}
"""


def upstream(port: int) -> None:
    """Answer every request of the Messages API at once, until killed."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    usage = '"usage": {"input_tokens": 12, "output_tokens": 5}'
    about = '"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-bench", "stop_sequence": null'
    whole = f'{{{about}, "content": [{{"type": "text", "text": "Good morning"}}], "stop_reason": "end_turn", {usage}}}'
    events = [
        ("message_start", f'"message": {{{about}, "content": [], "stop_reason": null, {usage}}}'),
        ("content_block_start", '"index": 0, "content_block": {"type": "text", "text": ""}'),
        ("content_block_delta", '"index": 0, "delta": {"type": "text_delta", "text": "Good morning"}'),
        ("content_block_stop", '"index": 0'),
        ("message_delta", f'"delta": {{"stop_reason": "end_turn", "stop_sequence": null}}, {usage}'),
        ("message_stop", ""),
    ]
    stream = "".join(
        f'event: {kind}\ndata: {{"type": "{kind}"{", " if rest else ""}{rest}}}\n\n' for kind, rest in events
    )

    async def messages(request: Request) -> Response:
        asked = await request.json()
        if asked.get("stream"):
            return Response(stream, media_type="text/event-stream")
        return Response(whole, media_type="application/json")

    app = Starlette(routes=[Route("/v1/messages", messages, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def serve(path: str) -> None:
    """Serve the door until killed, and seal as `up` does."""
    import threading

    import django

    django.setup()
    import uvicorn

    from audit.tasks import seal_ledger
    from gateway.door.app import app

    def seal_for_ever() -> None:
        while True:
            seal_ledger()
            time.sleep(0.5)

    threading.Thread(target=seal_for_ever, daemon=True).start()
    uvicorn.run(app, uds=path, log_level="error")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{process.args} does not serve")
        time.sleep(0.1)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def measure_in_turns(
    ways: list[tuple[str, str, dict[str, str]]], body: dict[str, Any], calls: int
) -> list[list[float]]:
    """Call each way once, `calls` times over; return the sorted latencies of each in ms.

    In turns, so that all ways meet the machine, and the model server, as they are at that moment.
    """
    import httpx2

    latencies: list[list[float]] = [[] for _ in ways]
    async with AsyncExitStack() as stack:
        clients = []
        for uds, url, headers in ways:
            transport = httpx2.AsyncHTTPTransport(uds=uds or None, verify=False)
            clients.append(
                (await stack.enter_async_context(httpx2.AsyncClient(transport=transport, headers=headers)), url)
            )
        for _ in range(WARM + calls):
            for (http, url), found in zip(clients, latencies, strict=True):
                began = time.perf_counter()
                answer = await http.post(url, json=body, timeout=30)
                found.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise SystemExit(f"{answer.status_code}: {answer.text}")
    return [sorted(found[WARM:]) for found in latencies]


async def measure(clients: list[tuple[str, str, dict[str, str]]], body: dict[str, Any], calls: int) -> list[float]:
    """Call with each client (socket or nothing, URL, headers), `calls` times; return the sorted latencies in ms."""
    import httpx2

    latencies: list[float] = []

    async def client(uds: str, url: str, headers: dict[str, str]) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=uds or None, verify=False)
        async with httpx2.AsyncClient(transport=transport, headers=headers) as http:
            for _ in range(calls):
                began = time.perf_counter()
                answer = await http.post(url, json=body, timeout=30)
                latencies.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise SystemExit(f"{answer.status_code}: {answer.text}")

    await asyncio.gather(*(client(*each) for each in clients))
    return sorted(latencies)


def cost_of_a_call(token: str) -> tuple[int, int]:
    """Return how many statements and commits one model call sends to the data base, with recognising its token."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from gateway import llm
    from gateway.door.identity import Arrival
    from gateway.spending import Ended
    from governance.core.prices import Usage
    from runtime.tokens import verify_token

    def call() -> None:
        reserved = llm.reserve(Arrival(verify_token(token)), ASK)
        assert reserved.call is not None, reserved.reason
        llm.settle(reserved.call, Ended("succeed", Usage(12, 5), "end_turn"))

    call()
    with CaptureQueriesContext(connection) as asked:
        call()
    sent = [query["sql"] for query in asked]
    commits = sum(text.startswith("COMMIT") for text in sent)
    return len([text for text in sent if text.split(" ")[0] not in ("BEGIN", "COMMIT")]), commits


def compare(door: str, tokens: list[str], model: int, litellm: int) -> None:
    """Print the latencies of every way to ask, and what the gateway adds."""
    key = {"x-api-key": "none", "anthropic-version": "2023-06-01"}
    direct = ("", f"http://127.0.0.1:{model}/v1/messages", key)
    gated = [(door, "http://door/agent/v1/llm/v1/messages", {**key, "x-api-key": token}) for token in tokens]
    ways: list[tuple[str, list[tuple[str, str, dict[str, str]]]]] = [
        ("direct", [direct] * CLIENTS),
        ("through the gateway", gated),
    ]
    if litellm:
        url = f"http://127.0.0.1:{litellm}/v1/chat/completions"
        ways.append(("LiteLLM, network_mock", [("", url, {"Authorization": "Bearer sk-bench"})] * CLIENTS))
    print(f"{'':46}{'p50 ms':>9}{'p99 ms':>9}{'added, p50':>12}")
    for is_streamed in (False, True):
        body = {**ASK, "stream": is_streamed}
        alone = asyncio.run(measure_in_turns([clients[0] for _, clients in ways], body, CALLS))
        for count in (1, CLIENTS):
            floor = 0.0
            for (name, clients), in_turn in zip(ways, alone, strict=True):
                found = in_turn if count == 1 else asyncio.run(measure(clients, body, CALLS_EACH))
                middle = statistics.median(found)
                floor = floor or middle
                label = f"{name}, {'streamed' if is_streamed else 'whole'}, {count} client{'s' if count > 1 else ''}"
                added = "" if name == "direct" else f"{middle - floor:12.2f}"
                print(f"{label:46}{middle:9.2f}{percentile(found, 0.99):9.2f}{added}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--litellm", default="", help="the Python of an environment with litellm[proxy]")
    for hidden in ("--serve", "--home", "--upstream"):
        asked.add_argument(hidden, default="", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.upstream:
        upstream(int(given.upstream))
        return
    if given.serve:
        prepare(Path(given.home))
        serve(given.serve)
        return
    with tempfile.TemporaryDirectory(prefix="worka-bench-") as folder:
        home, model = Path(folder), free_port()
        os.environ.update(
            WORKA_MODEL_URL=f"http://127.0.0.1:{model}",
            WORKA_MODEL="claude-bench",
            WORKA_MODEL_PRICES='{"claude-*": {"input": "0.01", "output": "0.01"}}',
        )
        prepare(home)
        run(home, model, given.litellm)


def run(home: Path, model: int, litellm: str) -> None:
    import django
    from django.core.management import call_command

    from worka_site.private import private_postgres

    server = private_postgres()
    server.start()
    server.create_database()
    django.setup()
    call_command("migrate", verbosity=0)
    tokens = [token for token, _ in make_jobs(CLIENTS, POLICY)]
    this, door = [sys.executable, "-m", "benchmarks.model_route"], str(home / "door.sock")
    started = [subprocess.Popen([*this, "--upstream", str(model)])]
    try:
        wait_until(lambda: answers(model), started[-1])
        started.append(subprocess.Popen([*this, "--serve", door, "--home", str(home)]))
        wait_until(lambda: Path(door).exists(), started[-1])
        port = 0
        if litellm:
            port, config = free_port(), home / "litellm.yaml"
            config.write_text(LITELLM)
            program = Path(litellm).parent / "litellm"
            command = [program, "--config", config, "--port", str(port), "--host", "127.0.0.1"]
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait_until(lambda: answers(port), started[-1])
        else:
            print("LiteLLM is not asked: --litellm names the Python of an environment that has it")
        statements, commits = cost_of_a_call(tokens[0])
        print(f"one model call: {statements} statements, {commits} commits")
        compare(door, tokens, model, port)
    finally:
        for process in started:
            process.terminate()
            process.wait()
        server.stop()


if __name__ == "__main__":
    main()
