"""Which hosts are connected to; nothing here touches a network."""

from collections.abc import Sequence

import pytest

from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
NAMES = {
    "db.example": [PUBLIC],
    "both.example": [PUBLIC, PUBLIC_V6],
    "db.internal": ["10.0.0.3"],
    "localhost": ["127.0.0.1", "::1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "half.example": [PUBLIC, "192.168.1.1"],
    "late.example": [PUBLIC, "::ffff:10.0.0.1"],
    "mapped.example": [f"::ffff:{PUBLIC}"],
    "nowhere.example": [],
    "odd.example": ["not an address"],
}


class Names:
    """A resolver that knows a few names, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in NAMES:
            raise OSError(f"{host}: unknown")
        return NAMES[host]


def resolved(host: str, *allow_hosts: str) -> list[str]:
    return [str(address) for address in Addresses(allow_hosts, Names()).resolve(host, 5432)]


NOT_PUBLIC = [
    # Loopback, private, shared, link-local, multicast, reserved, unspecified.
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    # IPv6, in brackets or not.
    "::1",
    "[::1]",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    f"{PUBLIC_V6}%eth0",
    "fec0::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "2001::1",
    "2001:10::1",
    "100::1",
    "4000::1",
    # IPv4 inside of IPv6.
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.1.2.3",
    "[::ffff:169.254.169.254]",
    "::127.0.0.1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2002:c0a8:101::1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    # Other spellings of 127.0.0.1 and of 10.0.0.1.
    "2130706433",
    "0x7f000001",
    "0X7F000001",
    "017700000001",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    "10.1",
    "167772161",
    "0x7f.1",
    "1.0x",
    # Names that lead there.
    "localhost",
    "LOCALHOST",
    "localhost.",
    "db.internal",
    "127.0.0.1.nip.example",
    "metadata.example",
    "half.example",
    "late.example",
]


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_what_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(InvalidValue, match=r"TUNERY_ALLOW_HOSTS|four decimal") as refused:
        resolved(host)

    assert refused.value.code == "host_not_allowed"
    assert "10.0.0.3" not in refused.value.message


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (PUBLIC, [PUBLIC]),
        ("1.1.1.1", ["1.1.1.1"]),
        ("172.32.0.1", ["172.32.0.1"]),
        ("100.128.0.1", ["100.128.0.1"]),
        (f"[{PUBLIC_V6}]", [PUBLIC_V6]),
        (f"::ffff:{PUBLIC}", [PUBLIC]),
        ("2002:5db8:d70e::1", ["2002:5db8:d70e::1"]),
        ("64:ff9b::5db8:d70e", ["64:ff9b::5db8:d70e"]),
        ("db.example", [PUBLIC]),
        ("DB.Example.", [PUBLIC]),
        ("both.example", [PUBLIC, PUBLIC_V6]),
        ("mapped.example", [PUBLIC]),
    ],
)
def test_what_is_public_is_connected_to_by_its_address(host: str, addresses: list[str]) -> None:
    assert resolved(host) == addresses


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("db.internal", ["db.internal"]),
        ("DB.INTERNAL", ["db.internal"]),
        ("db.internal", ["Db.Internal."]),
        ("db.internal", ["10.0.0.0/8"]),
        ("db.internal", ["10.0.0.3"]),
        ("10.9.8.7", ["other.internal", "10.0.0.0/8"]),
        ("localhost", ["localhost"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("[::1]", ["::1"]),
        ("::1", ["[::1]"]),
        ("fd00::5", ["fc00::/7"]),
        ("::ffff:10.0.0.1", ["10.0.0.0/8"]),
        ("64:ff9b::a00:1", ["10.0.0.0/8"]),
        ("half.example", ["192.168.1.0/24"]),
        ("late.example", ["10.0.0.1"]),
    ],
)
def test_what_the_operator_lists_is_let_through(host: str, listed: list[str]) -> None:
    assert resolved(host, *listed)


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("db.internal", ["internal"]),
        ("db.internal", ["10.0.0.0/31"]),
        ("localhost", ["127.0.0.1"]),
        ("127.0.0.1", ["localhost"]),
        ("127.0.0.1.nip.example", ["nip.example"]),
        ("2130706433", ["127.0.0.0/8"]),
        ("10.0.0.1", ["::ffff:0:0/96"]),
    ],
)
def test_a_listed_host_lets_no_other_through(host: str, listed: list[str]) -> None:
    with pytest.raises(InvalidValue) as refused:
        resolved(host, *listed)

    assert refused.value.code == "host_not_allowed"


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        ".",
        "-",
        "a b",
        "a/b",
        "a@b",
        "a:1",
        "a\x00b",
        "a\n",
        "http://a",
        "/tmp",
        "[::1",
        "a" * 254,
        "nowhere.example",
        "odd.example",
        "unheard.example",
    ],
)
def test_what_is_no_host_is_said_to_be_unknown(host: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        resolved(host)

    assert refused.value.code == "unknown_host"


def test_the_name_is_asked_once_so_that_a_second_answer_has_no_effect() -> None:
    names = Names()

    Addresses([], names).resolve("db.example", 5432)
    Addresses([], names).resolve(PUBLIC, 5432)

    assert names.asked == ["db.example"]


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "*.internal", "db:5432", "a b", "", "127.1", "::/x"]
)
def test_an_entry_that_would_never_fit_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(InvalidValue, match="TUNERY_ALLOW_HOSTS") as refused:
        Addresses([entry])

    assert refused.value.param == "allow_hosts"


def test_a_folder_of_sockets_is_listed_as_such() -> None:
    addresses = Addresses(["/run/postgresql/", "db.internal"], Names())

    assert addresses.lists("/run/postgresql")
    assert addresses.lists("db.internal")
    assert not addresses.lists("/run")
    assert not addresses.lists("/run/postgresql/../other")
