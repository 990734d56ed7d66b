"""What a webhook is told, in BFL's words."""

import msgspec

from tunery.core.image_generations import ImageGeneration
from tunery.core.ports import NoticeWords
from tunery.core.webhooks import Notice
from tunery.dialects.answers import encode
from tunery.dialects.bfl.addresses import sample_url
from tunery.dialects.bfl.answers import Status
from tunery.dialects.bfl.finetunes.mapping import stamped
from tunery.dialects.bfl.results.mapping import CANCELLED, drawn, failure
from tunery.dialects.bfl.results.schemas import Drawn, Tuned
from tunery.service.links import Links

_UNKNOWN = "It failed."


class ReadyNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A task has come to something."""

    id: str
    status: Status = "Ready"
    result: Tuned | Drawn
    timestamp: str


class FailureNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A task has come to nothing."""

    id: str
    status: Status
    error: str
    """A word for programs."""
    message: str
    timestamp: str


def notice_words(links: Links) -> NoticeWords:
    """What makes the bodies of webhooks; the links in them are of `links`."""

    def words(notice: Notice, generation: ImageGeneration | None) -> bytes:
        return encode(_told(notice, generation, links))

    return words


def _told(
    notice: Notice, generation: ImageGeneration | None, links: Links
) -> ReadyNotice | FailureNotice:
    when = stamped(notice.happened_at)
    match notice.outcome:
        case "succeeded":
            result = _result(notice, generation, links)
            return ReadyNotice(id=notice.subject, result=result, timestamp=when)
        case "failed" | "cancelled":
            is_cancelled = notice.outcome == "cancelled"
            return FailureNotice(
                id=notice.subject,
                status=failure(notice.code),
                error=notice.code or notice.outcome,
                message=notice.message or (CANCELLED if is_cancelled else _UNKNOWN),
                timestamp=when,
            )


def _result(notice: Notice, generation: ImageGeneration | None, links: Links) -> Tuned | Drawn:
    if generation is None:
        return Tuned(finetune_id=notice.subject)
    base = notice.webhook.link_base or ""
    return drawn(generation, sample_url(base, links, generation.id))
