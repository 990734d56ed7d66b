"""What is told to receivers on loopback, over the store in memory."""

import hashlib
import hmac
import json
import logging
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.store.finetunes import a_finetune, finetuned, tuning
from tests.store.values import OURS, START, MovableClock, an_image, first_key
from tests.webhooks.certificates import contexts
from tests.webhooks.receiver import Receiver, status
from tests.worker.bench import wait_until
from tunery.addresses import Addresses
from tunery.core.errands import Errand
from tunery.core.errors import Unavailable
from tunery.core.image_generations import GenerationStatus, ImageGeneration
from tunery.core.progress import Failed
from tunery.core.webhooks import Notice, Webhook
from tunery.sealing import AesSealer
from tunery.store.memory import MemoryStore
from tunery.webhooks import sender
from tunery.webhooks.sender import DELAYS_S, LEASE_S, Sender

HOST = "receiver.example"
SECRET = "correct horse battery staple"


class Names:
    """A resolver that knows one name, which it remembers to have been asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[list[str]] = []
        """What it says next; loopback where nothing is said."""

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if self.answers else ["127.0.0.1"]


def words(notice: Notice, generation: ImageGeneration | None) -> bytes:
    drawn = None if generation is None else generation.settings.prompt
    return json.dumps({"id": notice.subject, "outcome": notice.outcome, "drawn": drawn}).encode()


class Office:
    """A store, who tells what ends in it, and a receiver."""

    def __init__(
        self, folder: Path, receiver: Receiver, *, allow_hosts: Sequence[str] = (HOST,)
    ) -> None:
        self.clock = MovableClock()
        self.store = MemoryStore(self.clock)
        self.store.add_project(OURS, first_key(OURS))
        self.sealer = AesSealer(folder)
        self.receiver = receiver
        self.names = Names()
        self.finetune = finetuned(self.store)
        self.sender = self.successor(allow_hosts=allow_hosts)

    def successor(
        self,
        *,
        allow_hosts: Sequence[str] = (HOST,),
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 0.5,
    ) -> Sender:
        """Another who tells: the server, after its restart."""
        return Sender(
            store=self.store,
            addresses=Addresses(allow_hosts, self.names),
            sealer=self.sealer,
            words={"bfl": words},
            clock=self.clock,
            tls=tls,
            timeout_s=timeout_s,
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.receiver.port}/told?token=hidden"

    def draw(self, *, url: str | None = None, secret: str | None = SECRET) -> ImageGeneration:
        """An image that is ready, and whose receiver is yet to be told."""
        asked = an_image(self.finetune)
        sealed = None if secret is None else self.sealer.seal(secret, bound_to=asked.id)
        told = Webhook(door="bfl", url=url or self.url, secret=sealed)
        asked = replace(asked, webhook=told)
        self.store.add_image_generation(asked)
        errand = self.store.take_errand("draw", 10)
        assert errand is not None
        ready = replace(asked, status=GenerationStatus.READY, finished_at=START)
        self.store.record_drawing(errand, ready)
        return ready

    @property
    def waiting(self) -> list[Errand]:
        """What is yet to be told."""
        return [kept.errand for kept in self.store._state.errands.values()]

    @property
    def n_tried(self) -> int:
        """How often the one thing that is to be told was tried, and let go of again."""
        [kept] = self.store._state.errands.values()
        return kept.errand.n_attempts if kept.lease_until_us is None else 0

    def until_tried(self, n_times: int = 1) -> None:
        wait_until(lambda: self.n_tried == n_times)

    def until_told(self) -> None:
        wait_until(lambda: self.waiting == [])


@contextmanager
def telling(office: Office) -> Iterator[Office]:
    office.sender.start()
    try:
        yield office
    finally:
        office.sender.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def office(tmp_path: Path, receiver: Receiver) -> Office:
    return Office(tmp_path, receiver)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "POLL_S", 0.02)


def test_an_image_is_told_in_the_words_of_its_door_with_a_signature(office: Office) -> None:
    image = office.draw()
    [errand] = office.waiting
    with telling(office):
        office.until_told()

    [heard] = office.receiver.heard
    assert heard.target == "/told?token=hidden"
    assert json.loads(heard.body) == {
        "id": image.id,
        "outcome": "succeeded",
        "drawn": "a TOK on a table",
    }
    signature = hmac.new(SECRET.encode(), heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-bfl-signature"] == f"sha256={signature}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["host"] == f"{HOST}:{office.receiver.port}"
    assert heard.headers["webhook-id"] == errand.id
    assert heard.headers["webhook-timestamp"] == str(int(START.timestamp()))
    assert heard.headers["user-agent"].startswith("tunery/")


def test_without_a_secret_there_is_no_signature(office: Office) -> None:
    office.draw(secret=None)
    with telling(office):
        office.until_told()

    [heard] = office.receiver.heard
    assert "x-bfl-signature" not in heard.headers


def test_a_job_that_failed_is_told_without_an_image(office: Office) -> None:
    job = a_finetune()
    run = tuning(office.store, replace(job, webhook=Webhook(door="bfl", url=office.url)))
    office.store.apply(run.lease, [Failed(code="bad", message="It is bad.")])
    with telling(office):
        office.until_told()

    [heard] = office.receiver.heard
    assert json.loads(heard.body) == {"id": job.id, "outcome": "failed", "drawn": None}


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_any_success_is_an_end(office: Office, code: int) -> None:
    office.receiver.answers = [status(code)]
    office.draw()
    with telling(office):
        office.until_told()

    assert len(office.receiver.heard) == 1


def test_a_receiver_that_is_gone_is_told_no_more(office: Office) -> None:
    office.receiver.answers = [status(410)]
    office.draw()
    with telling(office):
        office.until_told()

    assert len(office.receiver.heard) == 1


@pytest.mark.parametrize("code", [300, 400, 401, 404, 429, 500, 503, 599])
def test_whatever_else_is_answered_it_is_told_again_under_the_same_id(
    office: Office, code: int
) -> None:
    office.receiver.answers = [status(code)]
    office.draw()
    with telling(office):
        office.until_tried()
        assert len(office.receiver.heard) == 1
        office.clock.advance(DELAYS_S[0])
        office.until_told()

    first, second = office.receiver.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(office: Office, code: int) -> None:
    elsewhere = f"http://{HOST}:{office.receiver.port}/inside"
    office.receiver.answers = [status(code, {"location": elsewhere})]
    office.draw()
    with telling(office):
        office.until_tried()

    assert [heard.target for heard in office.receiver.heard] == ["/told?token=hidden"]
    assert office.receiver.n_connections == 1


def test_it_is_tried_for_about_three_days_ever_more_seldom_and_then_given_up(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(DELAYS_S) == sorted(DELAYS_S)
    assert 2.5 < sum(DELAYS_S) / (24 * 60 * 60) < 3.5
    office.receiver.answers = [status(500)] * 20
    image = office.draw()
    with telling(office), caplog.at_level(logging.WARNING):
        for number, delay_s in enumerate(DELAYS_S, start=1):
            office.until_tried(number)
            office.clock.advance(delay_s - 1)
            time.sleep(0.05)
            assert len(office.receiver.heard) == number
            office.clock.advance(1)
        office.until_told()

    assert len(office.receiver.heard) == len(DELAYS_S) + 1
    assert f"how {image.id} ended is given up to be told" in caplog.text
    assert "the receiver answered 500" in caplog.text


def test_a_receiver_that_is_down_is_told_when_it_is_back(office: Office) -> None:
    down = Receiver()
    down.close()
    office.draw(url=f"http://{HOST}:{down.port}/told")
    with telling(office):
        office.until_tried()
        back = Receiver(port=down.port)
        office.clock.advance(DELAYS_S[0])
        office.until_told()
        back.close()

    assert len(back.heard) == 1


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """A status that never comes to its end."""
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(5)


def flood(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"x-much: more\r\n" * 10_000)


def interim(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 1_000)


def headers_without_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.flush_headers()
    flood(handler)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize(
    "answer", [trickle, silence, flood, interim, headers_without_end, hang_up, nonsense]
)
def test_what_is_no_answer_in_time_counts_as_none(office: Office, answer: object) -> None:
    assert callable(answer)
    office.receiver.answers = [answer]
    office.draw()
    began = time.monotonic()
    with telling(office):
        office.until_tried()

    assert time.monotonic() - began < 1.5


def test_of_an_answer_without_end_only_the_status_counts(office: Office) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"more " * 100_000)

    office.receiver.answers = [endless]
    office.draw()
    with telling(office):
        office.until_told()


def test_an_interim_answer_is_waited_through(office: Office) -> None:
    def early(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        status(200)(handler)

    office.receiver.answers = [early]
    office.draw()
    with telling(office):
        office.until_told()


def test_a_receiver_that_is_slow_holds_up_no_other(office: Office) -> None:
    office.sender = office.successor(timeout_s=5)
    other = Receiver()
    try:
        office.receiver.answers = [silence] * 3
        for _ in range(3):
            office.draw()
        office.draw(url=f"http://{HOST}:{other.port}/")
        with telling(office):
            wait_until(lambda: len(other.heard) == 1, within_s=2)
            wait_until(lambda: len(office.waiting) == 3)
    finally:
        other.close()


def test_what_a_killed_server_was_telling_is_told_again_under_the_same_id(office: Office) -> None:
    office.draw()
    errand = office.store.take_errand("tell", LEASE_S)
    assert errand is not None
    with telling(office):
        time.sleep(0.1)
        assert office.receiver.heard == []
        office.clock.advance(LEASE_S + 1)
        office.until_told()

    [heard] = office.receiver.heard
    assert heard.headers["webhook-id"] == errand.id


def test_who_tells_stops_in_seconds_and_forgets_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_STOP_S", 0.2)
    office.sender = office.successor(timeout_s=3)
    office.receiver.answers = [silence]
    office.draw()
    office.sender.start()
    wait_until(lambda: office.receiver.heard != [])

    began = time.monotonic()
    office.sender.stop()

    assert time.monotonic() - began < 1
    assert len(office.waiting) == 1


def test_who_tells_lives_on_when_the_store_does_not_answer(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(kind: str, lease_s: float) -> None:
        raise Unavailable("the database is away")

    office.draw()
    with monkeypatch.context() as patched:
        patched.setattr(office.store, "take_errand", away)
        office.sender.start()
        time.sleep(0.1)
    office.until_told()
    office.sender.stop()


def test_a_door_that_is_no_more_is_told_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    job = replace(a_finetune(), webhook=Webhook(door="gone", url=office.url))
    run = tuning(office.store, job)
    office.store.apply(run.lease, [Failed(code="bad", message="It is bad.")])
    with telling(office):
        office.until_told()

    assert office.receiver.n_connections == 0
    assert "nobody here has words" in caplog.text


def test_a_secret_that_cannot_be_opened_is_never_left_out(office: Office) -> None:
    image = office.draw(secret=None)
    [(number, kept)] = office.store._state.errands.items()
    assert kept.errand.notice is not None
    assert image.webhook is not None
    others = replace(image.webhook, secret=office.sealer.seal(SECRET, bound_to="another"))
    notice = replace(kept.errand.notice, webhook=others)
    office.store._state.errands[number] = replace(kept, errand=replace(kept.errand, notice=notice))
    with telling(office):
        office.until_tried()

    assert office.receiver.n_connections == 0


def test_no_secret_is_in_the_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.receiver.answers = [status(500), hang_up]
    office.draw()
    with caplog.at_level(logging.DEBUG), telling(office):
        office.until_tried()
        office.clock.advance(DELAYS_S[0])
        office.until_tried(2)
        office.clock.advance(DELAYS_S[1])
        office.until_told()

    assert "told how" in caplog.text
    for hidden in (SECRET, "hidden", "tunery-sealed", "sha256="):
        assert hidden not in caplog.text


def test_the_host_is_looked_for_once_and_connected_to_as_it_was_found(office: Office) -> None:
    office.names.answers = [["127.0.0.1"], ["192.0.2.1"]]
    office.draw()
    with telling(office):
        office.until_told()

    assert office.names.asked == [HOST]


def test_the_next_address_is_tried_where_one_does_not_answer(office: Office) -> None:
    office.names.answers = [["127.0.0.2", "127.0.0.1"]]
    office.draw()
    with telling(office):
        office.until_told()


def test_a_host_that_has_become_private_is_told_nothing(office: Office) -> None:
    office.sender = office.successor(allow_hosts=())
    office.draw()
    with telling(office):
        office.until_tried()

    assert office.receiver.n_connections == 0


def test_a_receiver_shows_a_certificate_of_its_name(tmp_path: Path) -> None:
    of_server, trusting = contexts(tmp_path, HOST)
    names: list[str] = []
    of_server.sni_callback = lambda _, name, __: names.append(name)
    receiver = Receiver(tls=of_server)
    try:
        office = Office(tmp_path, receiver)
        office.sender = office.successor(tls=trusting)
        office.draw(url=f"https://{HOST}:{receiver.port}/told")
        with telling(office):
            office.until_told()
    finally:
        receiver.close()

    assert names == [HOST]
    [heard] = receiver.heard
    assert heard.headers["host"] == f"{HOST}:{receiver.port}"


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_receiver_without_such_a_certificate_hears_nothing(
    tmp_path: Path, is_trusted: bool
) -> None:
    of_server, trusting = contexts(tmp_path, "other.example" if is_trusted else HOST)
    receiver = Receiver(tls=of_server)
    try:
        office = Office(tmp_path, receiver)
        office.sender = office.successor(tls=trusting if is_trusted else None)
        office.draw(url=f"https://{HOST}:{receiver.port}/told")
        with telling(office):
            office.until_tried()
    finally:
        receiver.close()

    assert receiver.n_connections == 1
    assert receiver.heard == []
