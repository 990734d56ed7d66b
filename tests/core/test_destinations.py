"""Addresses in the web, taken apart."""

import pytest

from tunery.core.destinations import LONGEST_URL, Destination, destination
from tunery.core.errors import InvalidValue


@pytest.mark.parametrize(
    ("url", "is_tls", "host", "port", "target", "authority"),
    [
        ("https://a.example", True, "a.example", 443, "/", "a.example"),
        ("http://a.example/", False, "a.example", 80, "/", "a.example"),
        ("HTTPS://A.Example./b?c=d", True, "a.example", 443, "/b?c=d", "a.example"),
        ("https://a.example:", True, "a.example", 443, "/", "a.example"),
        ("https://a.example:443/b", True, "a.example", 443, "/b", "a.example"),
        ("https://a.example:80", True, "a.example", 80, "/", "a.example:80"),
        ("http://a.example:8080?b", False, "a.example", 8080, "/?b", "a.example:8080"),
        ("http://a.example/b#c", False, "a.example", 80, "/b", "a.example"),
        ("http://a_b.example", False, "a_b.example", 80, "/", "a_b.example"),
        ("http://xn--bcher-kva.example", False, "xn--bcher-kva.example", 80, "/", None),
        ("http://93.184.215.14:1", False, "93.184.215.14", 1, "/", "93.184.215.14:1"),
        ("https://[2606:2800::1]/b", True, "2606:2800::1", 443, "/b", "[2606:2800::1]"),
        ("https://[2606:2800::1]:65535", True, "2606:2800::1", 65535, "/", None),
        ("https://a.example/@b", True, "a.example", 443, "/@b", "a.example"),
        ("https://a.example/%0d%0a", True, "a.example", 443, "/%0d%0a", "a.example"),
    ],
)
def test_a_url_leads_somewhere(
    url: str, is_tls: bool, host: str, port: int, target: str, authority: str | None
) -> None:
    found = destination(url, param="webhook_url")

    assert found == Destination(is_tls=is_tls, host=host, port=port, target=target)
    assert authority is None or found.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "//a.example",
        "https:",
        "https://",
        "https:///path",
        "https://:443",
        "https:a.example",
        "ftp://a.example",
        "file:///etc/passwd",
        "gopher://a.example",
        "javascript:alert(1)",
        "unix:///run/socket",
        # Two readers may see two hosts in these.
        "https://a.example@b.example",
        "https://a:b@c.example",
        "https://@a.example",
        "https://a.example\\@b.example",
        "https://a.example\\b.example",
        "https://a.example b.example",
        "https://a.example\tb",
        "https://a.exa\nmple",
        " https://a.example",
        "https://a.example\r\nx-header: b",
        "https://a.example/\x00",
        "https://a.example%2fb.example",
        "https://%61.example",
        "https://a.example:port",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:-1",
        "https://a.example:80:90",
        "https://[::1",
        "https://::1",
        "https://[a.example]",
        "https://[fe80::1%25eth0]",
        "https://a.example:\N{ARABIC-INDIC DIGIT THREE}",
        "https://[::1]b.example",
        "https://bücher.example",
        "https://ⓐ.example",
        "https://a。example",
        "https://a..example",
        "https://.example",
        "https://-a.example",
        "https://a,b.example",
        "https://*.example",
        f"https://a.example/{'b' * LONGEST_URL}",
    ],
)
def test_what_leads_nowhere_for_sure_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        destination(url, param="webhook_url")

    assert refused.value.param == "webhook_url"
    assert refused.value.message.startswith("webhook_url cannot be used: ")
