"""The one way out: whatever the gateway asks of the outside over HTTP goes through here, and is checked here."""
