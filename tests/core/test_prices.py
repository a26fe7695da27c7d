"""What a model costs: read strictly, with the customary prices of a cache where none is given."""

from decimal import Decimal

import pytest

from governance.core.model_request import TOKENS_PER_IMAGE, estimated_input
from governance.core.prices import Price

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
