"""The treasury: secrets that only the gateway reads, what may use them, and connections to services outside."""
