"""Several threads at one moment, each on its own connection, and a place to hold one in the middle of what it does."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

PATIENCE_S = 30


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads that meet at a barrier; return what each answered or raised, in their order."""
    barrier = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def run(place: int, call: Callable[[], Any]) -> None:
        try:
            barrier.wait(PATIENCE_S)
            answers[place] = call()
        except Exception as error:
            answers[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "somebody waits for ever"
    return answers


class Halfway:
    """Hold whoever comes first at a function until somebody else has come as far, or a moment has passed.

    With a lock in front nobody else comes, and the wait only ends; without one both have read before either writes.
    """

    def __init__(
        self, monkeypatch: Any, module: Any, name: str, *, after: bool = True, moment_s: float = 0.4, people: int = 2
    ) -> None:
        self.barrier = threading.Barrier(people)
        self.moment_s = moment_s
        self.met = False
        real = getattr(module, name)

        def meeting(*args: Any, **kwargs: Any) -> Any:
            if not after:
                self.wait()
            answer = real(*args, **kwargs)
            if after:
                self.wait()
            return answer

        monkeypatch.setattr(module, name, meeting)

    def wait(self) -> None:
        try:
            self.barrier.wait(self.moment_s)
            self.met = True
        except threading.BrokenBarrierError:
            pass


def of_type(answers: Sequence[Any], kind: type[Any]) -> list[Any]:
    return [answer for answer in answers if isinstance(answer, kind)]
