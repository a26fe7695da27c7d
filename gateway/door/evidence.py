"""POST /artifacts and GET /artifacts/{id}."""

import hashlib
from uuid import UUID

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.door.identity import Visitor, without_identity
from gateway.door.pools import in_database
from gateway.door.verbs import MIB, verb
from governance.actions.artifacts import LARGEST, read_artifact, store_artifact
from governance.models import Gate

MULTIPART_OVERHEAD = MIB // 4
LONGEST_NAME = 160


@verb(action="artifact.write")
async def post_artifact(request: Request, visitor: Visitor) -> Response:
    """Keep an artifact; its name is only a label, it never becomes a path."""
    said = request.headers.get("content-length", "")
    if not said.isdigit():
        raise Refused("say how long the body is", code=Code.BAD_REQUEST)
    if int(said) > LARGEST + MULTIPART_OVERHEAD:
        raise Refused(f"an artifact has at most {LARGEST} bytes", code=Code.TOO_LARGE)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused("artifacts come as multipart/form-data", code=Code.UNSUPPORTED_MEDIA_TYPE)
    name, content, plain = await _read_form(request, visitor)
    found = hashlib.sha256(content).hexdigest()
    if plain.get("sha256") != found:
        raise Refused("the content does not have the SHA-256 that was sent with it", code=Code.BAD_INPUT)
    if (
        not 0 < len(name) <= LONGEST_NAME
        or not name.isprintable()
        or "/" in name
        or "\\" in name
        or name.startswith(".")
    ):
        raise Refused(
            f"an artifact's name is a plain file name of at most {LONGEST_NAME} characters", code=Code.INVALID
        )
    artifact, gate = await in_database(
        store_artifact, visitor.caller, name=name, media_type=plain["media_type"], content=content, sha256=found
    )
    if artifact is None:
        raise _denied(gate)
    return JSONResponse(
        {
            "id": str(artifact.pk),
            "name": artifact.name,
            "media_type": artifact.media_type,
            "size": artifact.size,
            "sha256": artifact.sha256,
        },
        status_code=201,
    )


async def _read_form(request: Request, visitor: Visitor) -> tuple[str, bytes, dict[str, str]]:
    """Return name, content and plain fields of the one file in a form; refuses with bad_request or invalid."""
    try:
        form = await request.form(max_files=1, max_fields=12)
    except HTTPException as error:
        raise Refused(f"the form cannot be read: {error.detail}"[:300], code=Code.BAD_REQUEST) from None
    try:
        names = [field for field, _ in form.multi_items()]
        plain = {field: value for field, value in form.multi_items() if isinstance(value, str)}
        rest = set(without_identity(visitor.caller, plain)) - {"sha256", "media_type"}
        upload = form.get("file")
        if not isinstance(upload, UploadFile) or rest or not plain.get("media_type") or len(names) != len(set(names)):
            raise Refused("an artifact has a file, its sha256 and its media_type, each once", code=Code.INVALID)
        return upload.filename or "", await upload.read(), plain
    finally:
        await form.close()


@verb(action="artifact.read")
async def get_artifact(request: Request, visitor: Visitor) -> Response:
    """Give an artifact of the agent's own run."""
    try:
        pk = UUID(request.path_params["artifact_id"])
    except ValueError:
        raise Refused("the run has no such artifact", code=Code.NOT_FOUND) from None
    found, gate = await in_database(read_artifact, visitor.caller, pk)
    if found is None:
        raise _denied(gate)
    artifact, content = found
    return Response(
        content, media_type="application/octet-stream", headers={"X-Artifact-Media-Type": artifact.media_type}
    )


def _denied(gate: Gate) -> Refused:
    code = Code(gate.code) if gate.code in set(Code) else Code.POLICY_DENIED
    return Refused(gate.reason, code=code, facts={"gate": str(gate.pk), "reason": gate.reason})
