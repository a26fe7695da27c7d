"""What a model costs: prices per million tokens, and the cost of what was used. Money is US dollars, as Decimal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from fnmatch import fnmatchcase
from typing import Any

MILLION = Decimal(1_000_000)
CENTS = Decimal("0.000001")
MOST_TOKENS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. Writing to the provider's cache costs more than reading input, reading from it less."""

    input_usd: Decimal
    output_usd: Decimal
    cache_write_usd: Decimal
    cache_read_usd: Decimal

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Price":
        """Read `{input, output, cache_write?, cache_read?}`; raises ValueError with what is wrong."""
        unknown = set(value) - {"input", "output", "cache_write", "cache_read"}
        if unknown or not {"input", "output"} <= set(value):
            raise ValueError("a price has `input` and `output`, and may have `cache_write` and `cache_read`")
        try:
            found = {key: Decimal(str(given)) for key, given in value.items()}
        except ArithmeticError:
            raise ValueError("a price is a number of US dollars per million tokens") from None
        if not all(each.is_finite() and each >= 0 for each in found.values()):
            raise ValueError("a price is not negative")
        into = found["input"]
        return cls(
            into, found["output"], found.get("cache_write", into * Decimal("1.25")), found.get("cache_read", into)
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one call has used, as the provider counts them; what it read from a cache is not among `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.cache_write_tokens + self.cache_read_tokens

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Usage":
        """Read the `usage` of an answer, all of which may be left out; raises ValueError where what is told cannot be counted."""

        def count(name: str) -> int:
            found = value.get(name)
            if found is None:
                return 0
            if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MOST_TOKENS:
                raise ValueError(f"`{name}` is no number of tokens")
            return found

        return cls(
            count("input_tokens"), count("output_tokens"), count("cache_creation_input_tokens"), count("cache_read_input_tokens")
        )  # fmt: skip


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """Return the price of a model: of the longest pattern that fits its name, or None."""
    fitting = [pattern for pattern in prices if fnmatchcase(model, pattern)]
    return prices[max(fitting, key=len)] if fitting else None


def cost_usd(usage: Usage, price: Price | None) -> Decimal:
    """Return what was used in US dollars, rounded up to a millionth; nothing where there is no price."""
    if price is None:
        return Decimal(0)
    parts: Iterable[tuple[int, Decimal]] = (
        (usage.input_tokens, price.input_usd),
        (usage.output_tokens, price.output_usd),
        (usage.cache_write_tokens, price.cache_write_usd),
        (usage.cache_read_tokens, price.cache_read_usd),
    )
    return (sum((count * each for count, each in parts), Decimal(0)) / MILLION).quantize(CENTS, ROUND_UP)


def dearest(input_tokens: int, output_tokens: int, price: Price | None) -> Decimal:
    """Return the most that a call can cost: all of its input written to the cache, all of its output used."""
    return cost_usd(Usage(output_tokens=output_tokens, cache_write_tokens=input_tokens), _no_cheaper(price))


def too_little(found: Sequence[Any] | None, *, usd: Decimal, tokens: int) -> str:
    """Say what is too little for a model call that costs this at most, or nothing.

    `found` is what the run has: its limit in US dollars (None: none), what it has used and reserved of it, and the same of tokens.
    """
    if found is None:
        return "the run has no budget of US dollars and tokens"
    usd_limit, usd_used, tokens_limit, tokens_used = found
    for noun, amount, limit, used in (
        ("US dollars", usd, usd_limit, usd_used),
        ("tokens", Decimal(tokens), tokens_limit, tokens_used),
    ):
        if limit is not None and amount and used + amount > limit:
            left = max(limit - used, Decimal(0)).normalize()
            return f"the call may cost {amount:f} {noun}, and the run has {left:f} of its {limit.normalize():f} left"
    return ""


def _no_cheaper(price: Price | None) -> Price | None:
    if price is None:
        return None
    most = max(price.input_usd, price.cache_write_usd, price.cache_read_usd)
    return Price(most, price.output_usd, most, most)
