"""Which addresses a connection may be made to, whatever name led there."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.core.addresses import address_problem
from governance.core.addresses import METADATA, why_not

PRIVATE = {
    "127.0.0.1": "a loopback address", "127.255.0.1": "a loopback address", "::1": "a loopback address",
    "10.0.0.1": "a private address", "172.16.0.1": "a private address", "172.31.255.255": "a private address",
    "192.168.1.1": "a private address", "100.64.0.1": "a private address", "fd12:3456::1": "a private address",
}  # fmt: skip
NEVER = {
    "169.254.0.1": "a link-local address", "fe80::1": "a link-local address", "224.0.0.1": "a multicast address",
    "239.255.255.250": "a multicast address", "ff02::1": "a multicast address", "0.0.0.0": "a reserved address",
    "255.255.255.255": "a reserved address", "240.0.0.1": "a reserved address", "192.0.2.1": "a reserved address",
    "192.88.99.1": "a reserved address", "198.18.0.1": "a reserved address", "::": "a reserved address",
    "::127.0.0.1": "a reserved address", "fec0::1": "a reserved address", "2001:db8::1": "a reserved address",
    "4000::1": "a reserved address", "::ffff:127.0.0.1": "an IPv6 address that stands for an IPv4 one",
    "::ffff:8.8.8.8": "an IPv6 address that stands for an IPv4 one", "2002:7f00:1::": "an IPv6 address that stands for an IPv4 one",
    "64:ff9b::7f00:1": "an IPv6 address that stands for an IPv4 one", "2001:0:1::1": "an IPv6 address that stands for an IPv4 one",
    "::ffff:0:7f00:1": "an IPv6 address that stands for an IPv4 one",
}  # fmt: skip


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"]
)
def test_a_public_address_may_be_reached(address: str):
    assert why_not(ip_address(address), may_be_private=False) == ""


@pytest.mark.parametrize(("address", "what"), PRIVATE.items())
def test_an_address_of_the_house_only_where_policy_says_so(address: str, what: str):
    assert why_not(ip_address(address), may_be_private=False) == what
    assert why_not(ip_address(address), may_be_private=True) == ""


@pytest.mark.parametrize(("address", "what"), NEVER.items())
def test_some_addresses_whatever_policy_says_never(address: str, what: str):
    assert why_not(ip_address(address), may_be_private=True) == what


def test_the_metadata_of_clouds_is_never_reached_where_it_is_private_or_public():
    assert {why_not(address, may_be_private=True) for address in METADATA} == {
        "an address of the cloud's metadata service"
    }


@given(st.ip_addresses())
def test_what_may_be_reached_without_leave_is_global_for_the_standard_library_too(address):
    if not why_not(address, may_be_private=False):
        assert address.is_global
        assert not (address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://[::1", "is no address"),
        ("https://x.example:port/", "is no address"),
        ("ftp://x.example/", "http"),
        ("https:///x", ""),
    ],
)
def test_where_nothing_may_be_sent_is_said_without_the_address(url, problem):
    said = address_problem(url)

    assert said and problem in said and "x.example" not in said
