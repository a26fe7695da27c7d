"""The settings of the suite: the real ones, on a home and a data base of its own."""

import os
import tempfile
from pathlib import Path

TEST_HOME = Path(tempfile.mkdtemp(prefix="worka-tests-"))
TEST_HOME.chmod(0o700)
GIVEN_DATABASE_URL = os.environ.get("DATABASE_URL", "")

for _name in [name for name in os.environ if name.startswith("WORKA_")]:
    del os.environ[_name]
os.environ["WORKA_HOME"] = str(TEST_HOME)
# Installed once, not once a session; servers that tests start in other processes read it too.
os.environ["WORKA_RUNTIME_FOLDER"] = str(Path(__file__).resolve().parent.parent / ".worka" / "test-agents")
os.environ["WORKA_SECRET_KEY"] = "a key for tests only, which nobody would use for anything else"
os.environ["WORKA_LOG_LEVEL"] = "WARNING"

from worka_site.settings import *  # noqa: E402, F403, TID251

# One connection a thread: each test decides on which data base it works.
DATABASES["default"]["OPTIONS"].pop("pool", None)  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
