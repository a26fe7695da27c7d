from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from audit import correlation


def test_outside_a_request_there_is_no_id():
    assert correlation.current() == ""


def test_a_given_id_holds_until_the_request_is_over():
    with correlation.bind("req-1") as outer:
        with correlation.bind("req-2"):
            assert correlation.current() == "req-2"
        assert correlation.current() == outer == "req-1"
    assert correlation.current() == ""


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", "\x1b[2J", "é", "a;b"])
def test_an_id_that_could_harm_a_log_is_replaced(given):
    with correlation.bind(given) as bound:
        assert UUID(bound).version == 7


def test_another_thread_does_not_see_it():
    with correlation.bind("req-1"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(correlation.current).result() == ""
