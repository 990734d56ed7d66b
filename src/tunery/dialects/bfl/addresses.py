"""Addresses on this server, as answers and webhooks give them."""

from urllib.parse import urlencode

from fastapi import Request

from tunery.dialects.route import services
from tunery.service.links import Links


def link_base(request: Request) -> str:
    """What links begin with: the server's public URL, or where this request was sent."""
    return (services(request).public_url or str(request.base_url)).rstrip("/")


def polling_url(base: str, task_id: str) -> str:
    """Where to ask how a task stands."""
    return f"{base}/v1/get_result?{urlencode({'id': task_id})}"


def sample_url(base: str, links: Links, generation_id: str) -> str:
    """A signed link to an image, good for some minutes from now on."""
    return f"{base}/v1/images/{generation_id}?{urlencode(links.query(generation_id))}"
