"""The REST API for people and integrations: /v1, one file a resource."""
