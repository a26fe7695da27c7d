"""Keys, first answers, documents, model calls, MCP servers, memories and the treasury: all that the gateway keeps."""

from gateway.models.access import ApiKey, IdempotencyRecord
from gateway.models.document import Document, DocumentVersion
from gateway.models.llm import LlmCall
from gateway.models.mcp import McpServer, McpTool
from gateway.models.memory import MemoryEntry, MemoryVector, RememberedRun
from gateway.models.treasury import Connection, Grant, Secret, SecretVersion

__all__ = [
    "ApiKey",
    "Connection",
    "Document",
    "DocumentVersion",
    "Grant",
    "IdempotencyRecord",
    "LlmCall",
    "McpServer",
    "McpTool",
    "MemoryEntry",
    "MemoryVector",
    "RememberedRun",
    "Secret",
    "SecretVersion",
]
