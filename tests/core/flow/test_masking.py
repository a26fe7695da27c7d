import base64
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.core.masking import MASKERS, redact, redact_text

LAW = settings(max_examples=80, deadline=None)


def key(*parts):
    """Put a key together here, so that none stands in this file and no scanner of repositories finds one."""
    return "".join(parts)


KEYS = [
    ("aws_key", key("AKIA", "IOSFODNN7EXAMPLE")),
    ("aws_key", key("ASIA", "IOSFODNN7EXAMPLE")),
    ("github_token", key("ghp", "_", "a1B2" * 9)),
    ("github_token", key("ghs", "_", "a1B2" * 9)),
    ("github_token", key("github", "_pat_", "11ABCDEFG0", "abcdefghij_klmnop")),
    ("gitlab_token", key("glpat", "-", "a1B2c3D4e5F6g7H8i9J0")),
    ("slack_token", key("xoxb", "-123456789012-", "abcdefABCDEF")),
    ("slack_token", key("xapp", "-1-A0123456789-", "abcdef")),
    ("slack_webhook", key("hooks.slack.com", "/services/T000/B000/XXXXXXXX")),
    ("model_key", key("sk", "-ant-api03-", "a1B2c3D4" * 4)),
    ("model_key", key("sk", "-proj-", "a1B2c3D4" * 4)),
    ("payment_key", key("sk", "_live_", "a1B2c3D4e5F6g7H8")),
    ("worka_key", key("wk", "_ab12cd34_", "a1B2c3D4e5F6")),
    ("google_key", key("AIza", "SyA1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q")),
    ("registry_token", key("npm", "_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")),
    ("registry_token", key("pypi", "-", "AgEIcHlwaS5vcmc" * 3)),
    ("jwt", key("eyJhbGciOiJFZERTQSJ9", ".eyJzdWIiOiJhZ2VudCJ9.", "c2lnbmF0dXJl")),
    ("jwt", key("eyJhbGciOiJub25lIn0", ".eyJzdWIiOiJhZ2VudCJ9", ".")),
]


@pytest.mark.parametrize(("kind", "secret"), KEYS)
def test_what_looks_like_a_key_is_masked_in_any_surroundings(kind, secret):
    for before, after in (("", ""), ("the key is ", " and so on"), ("('", "')"), ("é:", "\n")):
        assert redact_text(f"{before}{secret}{after}") == f"{before}[masked:{kind}]{after}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            key("-----BEGIN RSA ", "PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nafter"),
            "[masked:private_key]\nafter",
        ),
        (key("a -----BEGIN ", "PRIVATE KEY-----\nMIIE\nabc= and it never ends"), "a [masked:private_key]"),
        (
            key("-----BEGIN PGP ", "PRIVATE KEY BLOCK-----\nxx\n-----END PGP PRIVATE KEY BLOCK-----"),
            "[masked:private_key]",
        ),
        (key("postgres://worka", ":hunter22@db/worka"), "postgres://worka:[masked:url_password]@db/worka"),
        (key("redis://", ":hunter22@db"), "redis://:[masked:url_password]@db"),
        (
            key('aws_secret_access_key = "', "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", '"'),
            'aws_secret_access_key = "[masked:aws_secret]"',
        ),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [masked:authorization]"),
        ('{"authorization": "Bearer abcdefghijklmnop"}', '{"authorization": "Bearer [masked:authorization]"}'),
        ("curl -H 'bearer abcdefghijklmnop'", "curl -H 'bearer [masked:bearer]'"),
        ("PASSWORD=hunter22", "PASSWORD=[masked:password]"),
        ("db_password: 'hunter22'", "db_password: '[masked:password]'"),
        ('"api_key":"abc123def"', '"api_key":"[masked:password]"'),
        ("AWS_SECRET: x; client_secret=abcdef123", "AWS_SECRET: x; client_secret=[masked:password]"),
    ],
)
def test_what_is_said_to_be_secret_is_masked_and_the_rest_stays(text, shown):
    assert redact_text(text) == shown


@pytest.mark.parametrize(
    "harmless",
    [
        "commit 3f786850e387550fdab836ed7e6dc881de23001b by ada",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "the password was changed", "a secret: no", "sk-learn and task-runner", "token authentication", "basic understanding",
        "https://docs.example/path@version:3", "Bearer of news", "wk_ab", "eyJ.a.b", "018f3c5e-7b1a-7cc0-9d8e-2f0d5b6a7c8d",
        "ask ada@example.org",
    ],
)  # fmt: skip
def test_ordinary_words_digests_and_ids_stay(harmless):
    assert redact_text(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ada@example.org, <bob+x@mail.example.co.uk>.", "[masked:email], <[masked:email]>."),
        ("git@github.com:acme/worka", "[masked:email]:acme/worka"),
        ("user@localhost, a@b, @here, 5@7.8", "user@localhost, a@b, @here, 5@7.8"),
    ],
)
def test_addresses_are_masked_by_their_own_masker(text, shown):
    assert redact_text(text, ["email"]) == shown
    assert redact_text(text, ["token"]) == text


def test_maskers_are_a_closed_list():
    assert sorted(MASKERS) == ["email", "token"]
    with pytest.raises(KeyError):
        redact_text("x", ["phone"])


def test_without_maskers_nothing_is_masked_but_known_secrets():
    assert redact_text(KEYS[0][1], []) == KEYS[0][1]
    assert redact_text("open sesame please", [], ["open sesame"]) == "[masked:secret] please"


def test_a_known_secret_is_found_in_its_usual_disguises():
    secret = "s3cr3t/v@lue+1"
    forms = [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), secret.encode().hex()]

    assert redact_text(" ".join(forms), [], [secret]).replace("=", "") == " ".join(["[masked:secret]"] * 4)


def test_of_two_secrets_of_which_one_begins_the_other_none_is_left_in_part():
    assert redact_text("swordfish-2026", [], ["swordfish", "swordfish-2026"]) == "[masked:secret]"


def test_secrets_too_short_to_be_any_leave_the_text_alone():
    assert redact_text("abc a", [], ["a", "", "abc"]) == "abc a"


def test_a_twin_has_the_same_shape_and_no_secret():
    value = {
        "path": "reports/x.md", "headers": {"Authorization": "anything", "accept": "*/*"}, "token": "short", "n": 5,
        "list": [{"password": 1234}, {"password": None}, {"secret": True}, {"api_key": ""}, {"token": {"kind": "x"}}],
        "next_tokens": 100, "text": (f"key {KEYS[0][1]}",), KEYS[0][1]: 1,
    }  # fmt: skip

    assert redact(value) == {
        "path": "reports/x.md", "headers": {"Authorization": "[masked:field]", "accept": "*/*"}, "token": "[masked:field]",
        "n": 5, "list": [{"password": "[masked:field]"}, {"password": None}, {"secret": True}, {"api_key": ""},
                         {"token": {"kind": "x"}}],
        "next_tokens": 100, "text": ["key [masked:aws_key]"], "[masked:aws_key]": 1,
    }  # fmt: skip


def test_fields_named_like_secrets_are_the_business_of_the_token_masker():
    assert redact({"password": "ada@example.org"}, ["email"]) == {"password": "[masked:email]"}
    assert redact({"password": "x"}, [], ["abcdef"]) == {"password": "x"}


BITS = st.sampled_from(
    ["password", "=", ":", " ", '"', "'", "bearer ", "authorization", "basic ", "a1B2c3D4e5", "://", "@", "user", "ex.org",
     "AKIA", "IOSFODNN7EXAMPLE", "eyJabcdef", ".", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "\n", "é", "/"]
)  # fmt: skip


@given(st.lists(BITS, max_size=12).map("".join))
@LAW
def test_masking_twice_is_masking_once(text):
    once = redact_text(text, MASKERS)

    assert redact_text(once, MASKERS) == once


@given(st.lists(BITS, max_size=6).map("".join), st.lists(BITS, max_size=6).map("".join))
@LAW
def test_no_surroundings_bring_a_known_secret_back(before, after):
    assert "treasure-42" not in redact_text(f"{before}treasure-42{after}", MASKERS, ["treasure-42"])
