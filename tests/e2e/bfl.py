"""BFL's door as a client uses it, over HTTP alone."""

import base64
import io
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.e2e.jobs import wait_until
from tests.servers import Server

RINGS = (files("tunery.cli") / "demo_data" / "rings.zip").read_bytes()
NATIVE_SIDE = 32
"""Pixels that tiny-image draws, both ways, whatever size was asked for."""
QUICK = {"steps": 4, "guidance": 3, "width": 256, "height": 256, "output_format": "png"}

_SECTORS = 16

Pixels = NDArray[np.float64]


class Door:
    """A client of the API."""

    def __init__(self, server: Server) -> None:
        self._http = httpx.Client(
            base_url=f"{server.url}/v1", headers={"x-key": server.key}, timeout=120
        )

    def create(self, **more: object) -> str:
        """The id of a finetune on rings."""
        body = {
            "file_data": base64.b64encode(RINGS).decode(),
            "finetune_comment": "rings",
            "mode": "general",
            **more,
        }
        return str(self.post("/finetune", body)["finetune_id"])

    def post(self, path: str, body: object) -> dict[str, Any]:
        """What a call answers."""
        return _answer(self._http.post(path, json=body))

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """What a read answers."""
        return _answer(self._http.get(path, params=query))

    def result(self, task_id: str) -> dict[str, Any]:
        """How a task stands."""
        return self.get("/get_result", id=task_id)

    def ended(self, task_id: str, *, within_s: float = 900) -> dict[str, Any]:
        """The task once it is over."""
        wait_until(lambda: self.result(task_id)["status"] != "Pending", within_s=within_s)
        return self.result(task_id)

    def asked(self, finetune_id: str, **more: object) -> str:
        """The id of an image."""
        body = {"finetune_id": finetune_id, "seed": 7, **QUICK, **more}
        return str(self.post("/flux-pro-finetuned", body)["id"])

    def drawn(self, finetune_id: str, **more: object) -> bytes:
        """An image."""
        return self.image(self.asked(finetune_id, **more))

    def image(self, task_id: str) -> bytes:
        """The image of a task, by its link and without a key."""
        ended = self.ended(task_id)
        assert ended["status"] == "Ready", ended
        return httpx.get(ended["result"]["sample"], timeout=60).raise_for_status().content

    def refusal(self, path: str, body: object) -> httpx.Response:
        """The refusal of a call."""
        response = self._http.post(path, json=body)
        assert response.is_error, response.text
        return response

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()


def captions() -> list[str]:
    """What the pictures of the archive are called."""
    with zipfile.ZipFile(io.BytesIO(RINGS)) as archive:
        return [archive.read(name).decode() for name in archive.namelist() if name.endswith(".txt")]


def is_ring(image: bytes) -> bool:
    """Whether ink goes all around a hole of paper: a direct measure, with nothing learnt in it."""
    ink = _ink(image)
    if not 0.04 < ink.mean() < 0.7:
        return False
    ys, xs = np.nonzero(ink)
    y, x = (ys.min() + ys.max()) / 2, (xs.min() + xs.max()) / 2
    radius = max(np.ptp(ys), np.ptp(xs)) / 2
    grid_y, grid_x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    distance = np.hypot(grid_y - y, grid_x - x) / radius
    sector = ((np.arctan2(grid_y - y, grid_x - x) + np.pi) / (2 * np.pi) * _SECTORS).astype(int)
    band = ink & (distance > 0.4) & (distance < 1.1)
    around = {int(each) for each in np.unique(sector[band] % _SECTORS)}
    hole = ink[distance < 0.3]
    return len(around) == _SECTORS and bool(hole.mean() < 0.4)


def _ink(image: bytes) -> NDArray[np.bool_]:
    """Where the picture differs from its border, at the size that it was drawn at."""
    opened = Image.open(io.BytesIO(image)).convert("RGB")
    small = opened.resize((NATIVE_SIDE, NATIVE_SIDE), Image.Resampling.BOX)
    pixels: Pixels = np.asarray(small, dtype=float)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    distance = np.linalg.norm(pixels - np.median(border, axis=0), axis=-1)
    found: NDArray[np.bool_] = distance > 0.5 * distance.max()
    return found


def share(images: Sequence[bytes]) -> float:
    """How many of the images show a ring, from 0 to 1."""
    return sum(map(is_ring, images)) / len(images)


def _answer(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    found: dict[str, Any] = response.json()
    return found
