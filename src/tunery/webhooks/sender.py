"""Telling: takes what is to be told, and tries for days until it is heard."""

import hashlib
import hmac
import logging
import ssl
import threading
import time
from collections.abc import Mapping

from tunery import __version__
from tunery.addresses import Addresses
from tunery.core.destinations import destination
from tunery.core.errands import Errand
from tunery.core.errors import LeaseLost, NotFound, TuneryError
from tunery.core.image_generations import ImageGeneration
from tunery.core.ports import Clock, ErrandStore, NoticeWords, Sealer
from tunery.core.webhooks import Notice
from tunery.webhooks.delivery import TIMEOUT_S, Undelivered, post

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How long it waits before it asks for work again, unless it is woken."""

LEASE_S = 60.0
"""Longer than a delivery takes, the search for the host included."""

SENDERS = 4
"""So many are told at once: one receiver that does not answer holds up no other."""

DELAYS_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 43200.0, 86400.0, 86400.0)
"""After each attempt that failed, almost three days in all; the next failure is the last."""

_STOP_S = 3.0
_GONE = 410
"""The receiver wants to hear nothing of it any more (RFC 9110, section 15.5.11)."""


class Sender:
    """Tells receivers by POST, in the words of the door that was asked to.

    One that is told twice, because nobody heard that it answered, knows it by the `webhook-id`.
    """

    def __init__(
        self,
        *,
        store: ErrandStore,
        addresses: Addresses,
        sealer: Sealer,
        words: Mapping[str, NoticeWords],
        clock: Clock,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Only what `addresses` lets through is told anything; `words` are those of each door.

        `tls` says whose certificates to trust; left out, those that this machine trusts.
        """
        self._store = store
        self._addresses = addresses
        self._sealer = sealer
        self._words = words
        self._clock = clock
        self._tls = tls or ssl.create_default_context()
        self._timeout_s = timeout_s
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"sender {number}", daemon=True)
            for number in range(SENDERS)
        ]

    def start(self) -> None:
        """Begin to take errands."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something waits: look at once."""
        self._bell.set()

    def stop(self) -> None:
        """Take no more; what is being told is told again later if it takes longer than a moment."""
        self._stopping.set()
        self._bell.set()
        until = time.monotonic() + _STOP_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))

    def _work(self) -> None:
        while not self._stopping.is_set():
            if not self._told() and self._bell.wait(POLL_S) and not self._stopping.is_set():
                self._bell.clear()

    def _told(self) -> bool:
        """Take an errand and try it once; whatever happens, this thread lives on."""
        try:
            errand = self._store.take_errand("tell", LEASE_S)
            if errand is not None:
                self._carry(errand)
        except LeaseLost as lost:
            logger.info("somebody else tells it: %s", lost)
        except TuneryError as error:
            # The store failed: the lease runs out, and the errand is taken again.
            logger.warning("telling was interrupted: %s", error)
            return False
        except Exception:
            logger.exception("telling was interrupted")
            return False
        return errand is not None

    def _carry(self, errand: Errand) -> None:
        notice = errand.notice
        words = None if notice is None else self._words.get(notice.webhook.door)
        if notice is None or words is None:
            logger.error("nobody here has words for %s; it is given up", errand.id)
            self._store.finish_errand(errand)
            return
        why = self._tried(errand, notice, words)
        if why is None:
            logger.info("told how %s ended", notice.subject)
            self._store.finish_errand(errand)
        elif errand.n_attempts > len(DELAYS_S):
            logger.warning("how %s ended is given up to be told: %s", notice.subject, why)
            self._store.finish_errand(errand)
        else:
            logger.info("how %s ended will be told again: %s", notice.subject, why)
            self._store.put_off_errand(errand, DELAYS_S[errand.n_attempts - 1])

    def _tried(self, errand: Errand, notice: Notice, words: NoticeWords) -> str | None:
        """Why it must be tried again; None where it is done."""
        try:
            body = words(notice, self._generation(notice))
            where = destination(notice.webhook.url, param="webhook_url")
            status = post(
                where,
                # Looked for anew each time, and connected to as found.
                self._addresses.resolve(where.host, where.port),
                self._headers(errand, notice, body),
                body,
                tls=self._tls,
                timeout_s=self._timeout_s,
            )
        except (Undelivered, TuneryError) as error:
            return str(error)
        except Exception as error:
            logger.exception("how %s ended cannot be told", notice.subject)
            return type(error).__name__
        if status == _GONE:
            logger.info("the receiver wants to hear no more of %s", notice.subject)
            return None
        return None if 200 <= status < 300 else f"the receiver answered {status}"

    def _headers(self, errand: Errand, notice: Notice, body: bytes) -> dict[str, str]:
        """The names are those of Standard Webhooks, and BFL's where there is a secret."""
        headers = {
            "content-type": "application/json",
            "user-agent": f"tunery/{__version__}",
            "webhook-id": errand.id,
            "webhook-timestamp": str(int(self._clock.now().timestamp())),
        }
        if notice.webhook.secret is not None:
            secret = self._sealer.open(notice.webhook.secret, bound_to=notice.subject)
            digest = hmac.new(secret.encode(errors="surrogatepass"), body, hashlib.sha256)
            headers["X-BFL-Signature"] = f"sha256={digest.hexdigest()}"
        return headers

    def _generation(self, notice: Notice) -> ImageGeneration | None:
        try:
            return self._store.image_generation(notice.project_id, notice.subject)
        except NotFound:
            return None
