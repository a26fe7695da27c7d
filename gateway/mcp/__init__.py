"""Speak to MCP servers, and keep what they serve."""
