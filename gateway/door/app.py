"""The door itself: a Starlette application that serves `/agent/v1` and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from audit import correlation
from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.door import calls, evidence, finishing, model, planning
from gateway.door.verbs import refused, with_correlation

ROUTES = [
    Route("/context", planning.get_context, methods=["GET"]),
    Route("/plan", planning.post_plan, methods=["POST"]),
    Route("/skills", calls.post_call, methods=["POST"]),
    Route("/skills/{call_id}", calls.get_call, methods=["GET"]),
    Route("/llm/v1/messages", model.post_message, methods=["POST"]),
    Route("/checkpoint", finishing.put_checkpoint, methods=["PUT"]),
    Route("/artifacts", evidence.post_artifact, methods=["POST"]),
    Route("/artifacts/{artifact_id}", evidence.get_artifact, methods=["GET"]),
    Route("/events", finishing.post_events, methods=["POST"]),
    Route("/heartbeat", finishing.post_heartbeat, methods=["POST"]),
    Route("/result", finishing.post_result, methods=["POST"]),
]


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}.get(status, Code.BAD_REQUEST)
    with correlation.bind(request.headers.get("x-correlation-id", "")):
        answer = refused(Refused(f"the door has no {request.method} {request.url.path}"[:200], code=code))
        if isinstance(error, HTTPException):
            answer.headers.update(error.headers or {})
        return with_correlation(answer)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await model.close()


app = Starlette(
    routes=[Mount("/agent/v1", routes=ROUTES)], exception_handlers={HTTPException: _http_error}, lifespan=_lifespan
)
