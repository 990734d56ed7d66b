"""Receivers that nobody outside may have this server connect to."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.webhooks.receiver import Receiver
from tests.webhooks.test_sender import Office, telling
from tests.worker.bench import wait_until
from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue
from tunery.service.webhooks import webhook
from tunery.webhooks import sender
from tunery.webhooks.sender import Sender

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "a.localhost": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1"],
    "inside.example": ["127.0.0.1"],
    "inside6.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "half.example": ["93.184.215.14", "127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
}

PRIVATE = [
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.255.255.254:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.0.0.01:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://10.0.0.1:{port}/",
    "http://172.16.0.1:{port}/",
    "http://192.168.0.1:{port}/",
    "http://100.64.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::1]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[fd00::1]:{port}/",
    "https://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://a.localhost:{port}/",
    "http://localhost.localdomain:{port}/",
    "http://inside.example:{port}/",
    "http://inside6.example:{port}/",
    "http://mapped.example:{port}/",
    "http://half.example:{port}/",
    "http://nat64.example:{port}/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://127.0.0.1.nip.example:{port}/",
]
TRICKS = [
    "http://there.example@127.0.0.1:{port}/",
    "http://there.example:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@there.example/",
    "http://there.example\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\.there.example/",
    "http://127.0.0.1%2f:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://①②⑦.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
]


def lookup(host: str, port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError(f"{host}: unknown")
    return NAMES[host]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def asked(url: str, *allow_hosts: str) -> None:
    webhook(
        url,
        None,
        door="bfl",
        link_base="",
        check_host=Addresses(allow_hosts, lookup).resolve,
    )


@pytest.mark.parametrize("form", [*PRIVATE, *TRICKS])
def test_a_private_receiver_is_refused_where_it_is_asked_for(form: str, receiver: Receiver) -> None:
    with pytest.raises(InvalidValue) as refused:
        asked(form.format(port=receiver.port))

    assert refused.value.param == "webhook_url"
    assert "127.0.0.1" not in refused.value.message or "127.0.0.1" in form
    assert receiver.n_connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://93.184.215.14/told",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/told",
        # It may be there by the time that there is something to tell.
        "https://not.yet.example/told",
    ],
)
def test_a_public_receiver_is_let_through(url: str) -> None:
    asked(url)


def test_a_private_receiver_that_the_operator_lists_is_let_through() -> None:
    asked("http://inside.example:8000/", "inside.example")
    asked("http://127.0.0.1:8000/", "127.0.0.0/8")


def test_no_connection_is_made_to_a_private_receiver_when_there_is_something_to_tell(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "POLL_S", 0.02)
    office = Office(tmp_path, receiver)
    office.sender = Sender(
        store=office.store,
        addresses=Addresses([], lookup),
        sealer=office.sealer,
        words={"bfl": lambda notice, generation: b"{}"},
        clock=office.clock,
    )
    for form in (*PRIVATE, *TRICKS):
        office.draw(url=form.format(port=receiver.port))
    with telling(office):
        wait_until(lambda: all(errand.n_attempts == 1 for errand in office.waiting))
        time.sleep(0.1)

    assert len(office.waiting) == len(PRIVATE) + len(TRICKS)
    assert receiver.n_connections == 0
