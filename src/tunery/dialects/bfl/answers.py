"""What a call that begins something answers."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from tunery.core.webhooks import Webhook

Status = Literal["Pending", "Ready", "Request Moderated", "Error", "Task not found"]
"""Where a task stands. "Content Moderated" is BFL's too; nothing is moderated here."""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has begun: AsyncResponse, and AsyncWebhookResponse where there is a webhook."""

    id: str
    polling_url: str
    status: Status | UnsetType = UNSET
    webhook_url: str | UnsetType = UNSET


class FinetuneSubmitted(Submitted, frozen=True, kw_only=True):
    """A finetune, whose id clients read in either field."""

    finetune_id: str


class ImageSubmitted(Submitted, frozen=True, kw_only=True):
    """An image; nothing is charged for it."""

    cost: float | None = None
    input_mp: float | None = None
    output_mp: float | None = None


def told(webhook: Webhook | None) -> tuple[Status | UnsetType, str | UnsetType]:
    """Status and webhook's address, where there is one to tell."""
    return (UNSET, UNSET) if webhook is None else ("Pending", webhook.url)
