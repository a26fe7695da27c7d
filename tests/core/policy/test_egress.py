"""Which hosts calls may reach: what is written, in one normal form, and only what every layer lists."""

import pytest

from governance.core.compiled import CompiledManifest, build
from governance.core.egress import NOWHERE, Egress, NotAHost, Target, may_reach, normal_host
from tests.core.policy.samples import HEAD, HEAD_LINES, OPEN_PLATFORM, compiled, faults_of, warnings_of


def egress(workspace: str, platform: str = '["*"]') -> Egress:
    both = compiled(f"{OPEN_PLATFORM}egress: {platform}\n", "platform"), compiled(f"{HEAD}egress: {workspace}\n")
    return Egress(tuple((manifest.layer, manifest.egress) for manifest in both))


def test_a_manifest_says_which_hosts_and_the_order_means_nothing():
    manifest = compiled(
        HEAD
        + "egress: [{host: '*.Bücher.example', http: true}, B.example, {host: a.example, private: true, ports: [8443, 443]}]\n"
    )

    assert manifest.egress == (
        Target("*.xn--bcher-kva.example", http=True, ports=(80, 443)),
        Target("a.example", private=True, ports=(443, 8443)),
        Target("b.example"),
    )
    again = compiled(
        HEAD + "egress: [b.example, b.example., {host: a.example, private: true, http: false, ports: [443, 8443, 443]},"
        " {host: '*.xn--bcher-kva.example', http: true, ports: [80, 443]}]\n"
    )
    assert again.digest == manifest.digest
    assert CompiledManifest.from_json(manifest.as_json()).egress == manifest.egress


def test_a_manifest_that_lists_none_keeps_the_digest_it_had_before_there_were_lists():
    manifest = compiled(HEAD)

    assert manifest.egress == ()
    assert "egress" not in manifest.as_json()["manifest"]
    assert CompiledManifest.from_json(manifest.as_json()) == manifest
    assert build(manifest.as_json()["manifest"], manifest.as_json()["lines"], ()).egress == ()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[]", ("9", "out_of_range")),
        ("5", ("9", "wrong_type")),
        ("[5]", ("10", "wrong_type")),
        ("[{}]", ("10", "missing_key")),
        ("[{http: true}]", ("10", "missing_key")),
        ("[{host: a.example, hosts: b}]", ("28", "unknown_key")),
        ("[{host: a.example, http: maybe}]", ("34", "wrong_type")),
        ("[{host: a.example, ports: 0}]", ("35", "out_of_range")),
        ("[{host: a.example, ports: [https]}]", ("36", "wrong_type")),
        ("[{host: a.example, ports: []}]", ("35", "out_of_range")),
        ("['https://a.example']", ("10", "bad_value")),
        ("['a.example/x']", ("10", "bad_value")),
        ("['u@a.example']", ("10", "bad_value")),
        ("['a.*.example']", ("10", "bad_value")),
        ("['*a.example']", ("10", "bad_value")),
        ("['*.10.0.0.1']", ("10", "bad_value")),
        ("['127.1']", ("10", "bad_value")),
        ("[a_b.example]", ("10", "bad_value")),
    ],
)
def test_a_wrong_line_is_refused_where_it_is_wrong(written: str, expected: tuple[str, str]):
    column, code = expected

    assert (f"{HEAD_LINES + 1}:{column}", code) in faults_of(f"{HEAD}egress: {written}\n")


def test_the_whole_world_and_the_house_in_one_line_is_warned_of_where_it_takes_effect():
    assert "everywhere" in warnings_of(HEAD + 'egress: {host: "*", private: true}\n')
    assert "everywhere" not in warnings_of(HEAD + "egress: {host: a.example, private: true}\n")
    assert warnings_of(OPEN_PLATFORM + 'egress: {host: "*", private: true}\n', "platform") == []


@pytest.mark.parametrize(
    ("workspace", "platform", "asked", "says"),
    [
        ("[a.example]", '["*"]', ("https", "a.example", 443), None),
        ("['*.a.example']", '["*"]', ("https", "x.y.a.example", 443), None),
        ("['*.a.example']", '["*"]', ("https", "a.example", 443), "the workspace's policy does not list it"),
        ("['*.a.example']", '["*"]', ("https", "xa.example", 443), "the workspace's policy does not list it"),
        ("[a.example]", '["*"]', ("https", "a.example.evil.example", 443), "the workspace's policy does not list it"),
        ("[a.example]", "[b.example]", ("https", "a.example", 443), "the platform's policy does not list it"),
        ("['*']", "[b.example]", ("https", "a.example", 443), "the platform's policy does not list it"),
        ("[a.example]", '["*"]', ("http", "a.example", 80), "the platform's policy allows it with https only"),
        ("[a.example]", '[{host: "*", http: true}]', ("http", "a.example", 80), "the workspace's policy allows it with https only"),
        ("[{host: a.example, http: true}]", '[{host: "*", http: true}]', ("http", "a.example", 80), None),
        ("[{host: a.example, http: true}]", '[{host: "*", http: true}]', ("http", "a.example", 8080), "allows no port 8080"),
        ("[{host: a.example, ports: 8443}]", '["*"]', ("https", "a.example", 8443), "the platform's policy allows no port 8443"),
        ("['*']", '["*"]', ("ftp", "a.example", 21), "only https and http are spoken here, not ftp"),
    ],
)  # fmt: skip
def test_a_connection_needs_a_line_in_each_layer_that_fits_all_of_it(workspace, platform, asked, says):
    reach = may_reach(egress(workspace, platform), *asked)

    assert reach.is_allowed is (says is None)
    assert (says or "") in reach.because


def test_one_line_must_fit_all_of_it_and_not_each_a_part():
    found = egress(
        "[{host: a.example, http: true, ports: 80}, {host: '*.example', ports: 8080}]",
        '[{host: "*", http: true, ports: [80, 8080]}]',
    )

    assert not may_reach(found, "http", "a.example", 8080).is_allowed


@pytest.mark.parametrize(
    ("workspace", "platform", "private"),
    [("true", "true", True), ("true", "false", False), ("false", "true", False), ("false", "false", False)],
)
def test_the_inside_of_the_house_is_reached_only_where_both_layers_say_so(workspace, platform, private):
    found = egress(f"{{host: a.example, private: {workspace}}}", f'{{host: "*", private: {platform}}}')

    assert may_reach(found, "https", "a.example", 443).may_be_private is private


def test_without_a_policy_nothing_is_reached():
    assert "no policy" in may_reach(NOWHERE, "https", "a.example", 443).because
    assert not may_reach(NOWHERE, "https", "a.example", 443).is_allowed
    assert not may_reach(Egress((("platform", ()),)), "https", "a.example", 443).is_allowed


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("Example.COM", "example.com"), ("example.com.", "example.com"), ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"), ("a。example", "a.example"), ("ⓔxample.com", "example.com"),
        ("127.0.0.1", "127.0.0.1"), ("１２７.０.０.１", "127.0.0.1"), ("[::1]", "::1"), ("0:0::1", "::1"),
        ("[::FFFF:7f00:1]", "::ffff:7f00:1"), ("localhost", "localhost"),
    ],
)  # fmt: skip
def test_a_host_has_one_form(written: str, host: str):
    assert normal_host(written) == normal_host(normal_host(written)) == host


@pytest.mark.parametrize(
    "written",
    [
        "", ".", "..", "a..b", "-a.example", "a b", "a_b", "a%41", "2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1",
        "0177.0.0.1", "127.0.0.01", "1.2.3.4.5", "256.1.1.1", "①②⑦.1", "[fe80::1%25eth0]", "fe80::1%eth0", "[::1", "::g", "a" * 64,
        "a." * 140 + "b", "\u202ea.example", "a\u0000b",
    ],
)  # fmt: skip
def test_what_hides_its_host_or_names_none_is_refused(written: str):
    with pytest.raises(NotAHost):
        normal_host(written)
