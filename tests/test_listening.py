"""Taking the port."""

import pytest

from tunery.listening import PortTaken, listen, url


def test_a_taken_port_is_said_with_the_switch_that_changes_it() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} .* --port"):
            listen("127.0.0.1", port)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert url("::1", 8642) == "http://[::1]:8642"
    assert url("localhost", 8642) == "http://localhost:8642"
