from hypothesis import settings

from tests.sdk.fixtures import agent, door, environ, fast_time, folder, shared_door

__all__ = ["agent", "door", "environ", "fast_time", "folder", "shared_door"]

# How long an example takes says nothing on a machine that runs other tests beside it.
settings.register_profile("agents", deadline=None)
settings.load_profile("agents")
