"""What agents remember: written after a run has succeeded, told to the next one, erased by people. `gateway/memory.py` finds."""
