import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.core.cleaning import CleaningRules, clean_text, clean_value, plain, redact, redact_text

RULES = CleaningRules(
    hosts=frozenset({"docs.example", "*.ACME.example", "dev.example:8443"}), mentions=frozenset({"UASKED"})
)
CORPUS = [
    pytest.param(case["hostile"], case["shown"], id=f"{path.stem}-{number}")
    for path in sorted((Path(__file__).parent / "hostile").glob("*.json"))
    for number, case in enumerate(json.loads(path.read_text())["cases"])
]
LAW = settings(max_examples=200, deadline=None)
AWS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.mark.parametrize(("hostile", "shown"), CORPUS)
def test_what_would_act_is_shown_as_text_and_what_cannot_be_seen_is_gone(hostile, shown):
    assert clean_text(hostile, RULES) == shown


@pytest.mark.parametrize(("hostile", "shown"), CORPUS)
def test_cleaning_what_is_clean_changes_nothing(hostile, shown):
    assert clean_text(shown, RULES) == shown


def test_the_corpus_is_there():
    assert len(CORPUS) > 60


@pytest.mark.parametrize(
    "hidden",
    [
        AWS_KEY, AWS_KEY[:6] + "\u200b" + AWS_KEY[6:], AWS_KEY[:6] + "\x1b[0m" + AWS_KEY[6:], f"<b>{AWS_KEY}</b>",
        f"[x](https://evil.example/?k={AWS_KEY})", AWS_KEY[:6] + "[](x)"[:4] + ")" + AWS_KEY[6:],
    ],
)  # fmt: skip
def test_keys_are_masked_however_they_are_hidden(hidden):
    shown = clean_text(f"the key {hidden} works", RULES)

    assert AWS_KEY not in shown
    assert AWS_KEY[6:] not in shown or "[]" in hidden


def test_a_key_that_the_cleaning_itself_puts_together_is_masked_too():
    assert clean_text(f"{AWS_KEY[:6]}[]( ){AWS_KEY[6:]}", RULES) == "[masked:aws_key]"


def test_secrets_of_the_treasury_are_masked():
    rules = CleaningRules(secrets=frozenset({"correct horse"}))

    assert clean_text("it is correct horse.", rules) == "it is [masked:secret]."


def test_addresses_are_masked_when_the_manifest_says_so():
    assert clean_text("ask ada@example.org", CleaningRules(maskers=frozenset({"email"}))) == "ask [masked:email]"
    assert clean_text("ask ada@example.org") == "ask ada@example.org"


def test_without_any_rules_no_link_and_nobody_is_allowed():
    assert clean_text("https://docs.example <@UASKED>") == "hxxps[:]//docs[.]example ‹@UASKED›"


@pytest.mark.parametrize("most", [0, 1, 10, 25, 100])
def test_the_length_is_bounded_and_a_cut_is_said(most):
    shown = clean_text("x" * 1000, CleaningRules(max_chars=most))

    assert len(shown) == most
    assert most < 25 or shown.endswith("… [1000 characters, cut]")
    assert clean_text("x" * most, CleaningRules(max_chars=most)) == "x" * most


def test_values_are_cleaned_all_the_way_down_keys_too():
    value = {"<b>": ["\x1b[1mx", {"y": f"key {AWS_KEY}"}], "n": 5, "f": 0.5, "t": True, "z": None, "p": ("\u202ea",)}

    assert clean_value(value, RULES) == {
        "‹b›": ["x", {"y": "key [masked:aws_key]"}], "n": 5, "f": 0.5, "t": True, "z": None, "p": ["a"],
    }  # fmt: skip


def test_keys_that_become_the_same_stay_apart():
    assert clean_value({"a": 1, "a\u200b": 2, "\u200ba": 3}) == {"a": 1, "a (2)": 2, "a (3)": 3}


def test_containers_are_bounded_and_say_so():
    rules = CleaningRules(max_items=2)

    assert clean_value([1, 2, 3], rules) == [1, 2, "… [3 items, cut]"]
    assert clean_value({"a": 1, "b": 2, "c": 3}, rules) == {"a": 1, "b": 2, "…": "[3 items, cut]"}
    assert clean_value([1, 2], rules) == [1, 2]


def test_depth_is_bounded():
    value: list = []
    for _ in range(200):
        value = [value]

    text = json.dumps(clean_value(value))

    assert "nested too deep" in text
    assert text.count("[") < 70


def test_long_keys_are_cut():
    (key,) = clean_value({"k" * 1000: 1})

    assert len(key) == 200


def test_masking_is_offered_beside_cleaning():
    assert redact({"a": AWS_KEY}) == {"a": redact_text(AWS_KEY)} == {"a": "[masked:aws_key]"}


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/admin/"])
def test_nested_links_beyond_reason_are_still_dead(target):
    hostile = "[" * 30 + "x" + f"]({target})" * 30

    shown = clean_text(hostile, RULES)

    assert "://" not in shown
    assert not re.search(r"\]\((?!hxxps)", shown)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("data:javascript:alert(1)", "data:javascript[:]alert(1)"),
        ("javascript:javascript:javascript:x", "javascript[:]javascript[:]javascript[:]x"),
        ("file:data:text/html,x", "file:data[:]text/html,x"),
        ("the data: see below", "the data: see below"),
    ],
)
def test_a_scheme_behind_another_acts_no_more_than_the_first(hostile, shown):
    assert clean_text(hostile, RULES) == shown


# --- Laws

BITS = st.sampled_from(
    [
        "<", ">", "!", "@", "here", "channel", "[", "]", "(", ")", "](", "https:", "//", "evil.example", "docs.example", ":",
        "/", "\\", "\x1b", "[31m", "]8;;", "\x07", "\u200b", "\u202e", "javascript:", "data:", "text/html", "www.", "|", " ",
        "\n", "\r", "@UASKED", "#", "\ud800", "é", "😀", "password=", "hunter22", AWS_KEY[:10], AWS_KEY[10:], "bearer ",
        "-----BEGIN PRIVATE KEY-----", "a", ".", "&#58;", "`", '"',
    ]
)  # fmt: skip
HOSTILE = st.lists(BITS | st.text(max_size=3), max_size=14).map("".join)


@given(HOSTILE)
@LAW
def test_nothing_that_acts_is_ever_left(text):
    shown = clean_text(text, RULES)

    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]", shown)
    assert not re.search(r"<(?!@UASKED>)[A-Za-z/!?@#]", shown)
    assert not re.search(r"(?i)(?<![A-Za-z0-9._%+\-])@(channel|here|everyone)\b", shown)
    assert not re.search(r"(?i)\b(javascript|vbscript)\s*:\s*\S", shown)
    for url in re.findall(r"(?i)\b[a-z][a-z0-9+.-]*://[^\s<>\"'`|‹›()\[\]{}]+", shown):
        assert re.match(r"(?i)https?://docs\.example(?![A-Za-z0-9.:@\\-]*[A-Za-z0-9@\\])", url), url
    assert AWS_KEY not in shown
    shown.encode()


@given(HOSTILE)
@LAW
def test_cleaning_twice_is_cleaning_once(text):
    shown = clean_text(text, RULES)

    assert clean_text(shown, RULES) == shown


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=50))
@LAW
def test_plain_removes_and_never_adds(text):
    assert len(plain(text)) <= len(text)
    assert plain(plain(text)) == plain(text)
