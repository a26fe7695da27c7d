"""GitHub as its makers document it; the connector asks by this."""
