"""Turn texts into vectors by whatever speaks OpenAI's embeddings API: POST {url}/embeddings.

Source: platform.openai.com/docs/api-reference/embeddings; the servers of llama.cpp, vLLM, Ollama and TEI speak it, too.
"""

import json
import math
import time
from collections.abc import Sequence

from django.conf import settings

from gateway.outgoing import NotReached, send

TIMEOUT_S = 10.0
MOST_TEXTS, MOST_CHARACTERS, MOST_DIMENSIONS = 32, 8000, 4096


class NoVectors(Exception):
    """The embedder is not there or did not answer as it should. The message quotes nothing of what was sent."""


def embed(texts: Sequence[str], *, seconds: float = TIMEOUT_S) -> list[list[float]]:
    """Return a vector of length one for each of at most 32 texts; raises NoVectors. What is too long is cut."""
    if not settings.WORKA_EMBEDDER_URL or not settings.WORKA_EMBEDDER_MODEL:
        raise NoVectors("WORKA_EMBEDDER_URL and WORKA_EMBEDDER_MODEL are not set")
    key = settings.WORKA_EMBEDDER_KEY
    asked = [text[:MOST_CHARACTERS].replace("\x00", "") or " " for text in texts[:MOST_TEXTS]]
    try:
        answer = send(
            "POST",
            f"{settings.WORKA_EMBEDDER_URL}/embeddings",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            json={"model": settings.WORKA_EMBEDDER_MODEL, "input": asked, "encoding_format": "float"},
            deadline=time.monotonic() + seconds,
            may_be_inside=True,
        )
    except NotReached as failure:
        raise NoVectors(f"the embedder: {failure}") from None
    if answer.status != 200:
        raise NoVectors(f"the embedder answered with status {answer.status}")
    return _read(answer.body, len(asked))


def _read(body: bytes, count: int) -> list[list[float]]:
    try:
        rows = {row["index"]: [float(number) for number in row["embedding"]] for row in json.loads(body)["data"]}
        found = [rows[number] for number in range(count)]
    except (ValueError, KeyError, TypeError, OverflowError):
        raise NoVectors("the embedder did not answer with a vector for each text") from None
    size = len(found[0]) if found else 0
    lengths = [math.hypot(*vector) for vector in found]
    if any(len(vector) != size for vector in found) or not 0 < size <= MOST_DIMENSIONS:
        raise NoVectors(f"the embedder's vectors have no common size of 1 to {MOST_DIMENSIONS}")
    if not all(math.isfinite(length) for length in lengths):
        raise NoVectors("the embedder's vectors are no directions")
    # A text without a word it knows has no direction, and is near to nothing.
    return [[number / (length or 1.0) for number in vector] for vector, length in zip(found, lengths, strict=True)]
