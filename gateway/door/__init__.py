"""The agents' door: one file a verb, no Django request stack."""
