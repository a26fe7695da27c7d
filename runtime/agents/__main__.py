"""Start one of our agents: `python -m runtime.agents hari | ernest | daneel`."""

import sys
from importlib import import_module

from worka.agent import run_agent

AGENTS = ("hari", "ernest", "daneel")


def main(arguments: list[str]) -> int:
    """Run the named agent for the job that the environment describes, and return its exit code."""
    if len(arguments) != 1 or arguments[0] not in AGENTS:
        sys.stderr.write(f"usage: python -m runtime.agents {' | '.join(AGENTS)}\n")
        return 2
    return run_agent(import_module(f"runtime.agents.{arguments[0]}").work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
