"""Which addresses connections may be made to. Decided on the address itself, whatever name led to it.

The blocks are those of the special-purpose registries of IANA (RFC 6890 and its updates); they are written out because
the reading of the standard library changed between versions of Python.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds hand credentials to whoever asks. Azure's is a public address, others hide in private blocks.
METADATA: frozenset[Address] = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)


def _blocks(what: str, *networks: str) -> list[tuple[Network, str]]:
    return [(ip_network(network), what) for network in networks]


# Never reached, whatever policy says.
_NEVER = [
    *_blocks("a link-local address", "169.254.0.0/16", "fe80::/10"),
    *_blocks("a multicast address", "224.0.0.0/4", "ff00::/8"),
    # What they lead to is decided by whoever translates them: an IPv4 address behind the back of this list.
    *_blocks(
        "an IPv6 address that stands for an IPv4 one",
        "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
    ),
    *_blocks(
        "a reserved address",
        "0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "240.0.0.0/4", "::/128", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
    ),
]  # fmt: skip
_PRIVATE = [
    *_blocks("a loopback address", "127.0.0.0/8", "::1/128"),
    *_blocks("a private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
]
_GLOBAL_UNICAST = ip_network("2000::/3")


def why_not(address: Address, *, may_be_private: bool) -> str:
    """Say what makes an address one that may not be connected to, such as `a private address`; empty if it may."""
    if address in METADATA:
        return "an address of the cloud's metadata service"
    for network, what in _NEVER:
        if address in network:
            return what
    for network, what in _PRIVATE:
        if address in network:
            return "" if may_be_private else what
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return "a reserved address"
    return "" if address.is_global else "a reserved address"
