from tests.sdk.fixtures import agent, door, environ, fast_time, folder, shared_door

__all__ = ["agent", "door", "environ", "fast_time", "folder", "shared_door"]
