"""Words of agents, connectors and requests, before they stand anywhere in clear."""

from governance.actions.wording import told

KEY = "ghp_" + "a1B2c3D4" * 5
ALL = ("token", "email")


def test_words_for_the_ledger_are_cleaned_masked_and_bounded():
    said = told(f"\x1b[31mred <script>x</script> <!channel> [x](http://evil.example) \u202e {KEY} ada@example.com", ALL)
    for part in ("\x1b", "<", "](", "http://", "\u202e", KEY, "ada@example.com"):
        assert part not in said
    assert "red" in said and "[masked:github_token]" in said


def test_a_key_at_the_cut_is_masked_before_the_words_are_cut():
    said = told("x" * 490 + " " + KEY, ALL)
    assert len(said) <= 500 and KEY[:9] not in said


def test_plain_words_stay_as_they_are():
    assert told("The tests of a/b are red.", ALL) == "The tests of a/b are red."
