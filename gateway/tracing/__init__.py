"""Traces: what the ledger has recorded as over, told as spans to a collector or to Langfuse."""
