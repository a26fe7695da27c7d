from tests.gateway.fixtures import door_socket, housed, planning, stages, web, working

__all__ = ["door_socket", "housed", "planning", "stages", "web", "working"]
