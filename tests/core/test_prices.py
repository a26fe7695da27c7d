"""What a model costs: read strictly, with the customary prices of a cache where none is given."""

from decimal import Decimal

import pytest

from governance.core.model_request import TOKENS_PER_IMAGE, estimated_input
from governance.core.prices import Price, too_little

WRONG = {
    "has `input` and `output`": [{}, {"input": 1}, {"input": 1, "output": 2, "discount": 3}],
    "is a number": [{"input": "cheap", "output": 2}, {"input": 1, "output": None}],
    "is not negative": [{"input": -1, "output": 2}, {"input": 1, "output": "NaN"}, {"input": 1, "output": "Infinity"}],
}


@pytest.mark.parametrize(("said", "value"), [(said, value) for said, values in WRONG.items() for value in values])
def test_a_price_that_is_none_is_said(said, value):
    with pytest.raises(ValueError, match=said):
        Price.from_json(value)


def test_a_cache_costs_what_is_customary_unless_it_is_said():
    plain = Price.from_json({"input": "2", "output": 10})
    exact = Price.from_json({"input": 2, "output": 10, "cache_write": 3, "cache_read": "0.2"})

    assert (plain.cache_write_usd, plain.cache_read_usd) == (Decimal("2.50"), Decimal(2))
    assert (exact.cache_write_usd, exact.cache_read_usd) == (Decimal(3), Decimal("0.2"))


def test_an_image_is_estimated_by_its_number_and_not_by_its_bytes():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    text = {"type": "text", "text": "What is it?"}

    one = estimated_input({"messages": [{"role": "user", "content": [image, text]}]})
    two = estimated_input({"messages": [{"role": "user", "content": [image, text, image]}]})

    assert TOKENS_PER_IMAGE < one < TOKENS_PER_IMAGE + 100
    assert TOKENS_PER_IMAGE <= two - one < TOKENS_PER_IMAGE + 10


BUDGETS = {
    "no budget at all": (None, "the run has no budget of US dollars and tokens"),
    "no limits": ((None, 5, None, 5), ""),
    "just enough": ((Decimal(10), Decimal(9), Decimal(100), Decimal(50)), ""),
    "too few dollars": (
        (Decimal("10.0"), Decimal("9.5"), None, 0), "the call may cost 1 US dollars, and the run has 0.5 of its 10 left",
    ),
    "too few tokens": ((None, 0, Decimal(100), Decimal(51)), "the call may cost 50 tokens, and the run has 49 of its 1E+2 left"),
    "more than all is gone": ((Decimal(1), Decimal(2), None, 0), "the call may cost 1 US dollars, and the run has 0 of its 1 left"),
}  # fmt: skip


@pytest.mark.parametrize(("found", "said"), BUDGETS.values(), ids=BUDGETS)
def test_a_budget_holds_a_call_or_says_what_is_too_little(found, said):
    assert too_little(found, usd=Decimal(1), tokens=50) == said.replace("1E+2", "100")


def test_what_costs_nothing_is_never_too_little():
    assert too_little((Decimal(0), Decimal(1), Decimal(100), Decimal(0)), usd=Decimal(0), tokens=50) == ""
