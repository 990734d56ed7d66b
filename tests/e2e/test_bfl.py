"""From a ZIP of pictures to images, as BFL's clients go, and what becomes of it on the way."""

import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from scripts.tiny_image.pictures import INKS, PAPERS

from tests.e2e.bfl import RINGS, Door, captions, share
from tests.e2e.jobs import client, messages, wait_until
from tests.servers import Server
from tests.webhooks.receiver import Receiver
from tunery.bases.catalog import BUILT_IN
from tunery.core.image_generations import ImageSettings, Painted, PaintRequest
from tunery.inference.painting import ChildPainter

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

Say = Callable[[str], None]

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SECRET = "a word between us"
LORA = {"finetune_type": "lora", "lora_rank": 16}
N_HELD_OUT = 24
"""One image more than may wait would be refused."""
WELL = {"steps": 16, "guidance": 3}


@dataclass(frozen=True)
class Tuned:
    """A server with a finetune on rings, and whoever is told of it."""

    server: Server
    door: Door
    receiver: Receiver
    finetune_id: str

    @property
    def webhook(self) -> dict[str, str]:
        return {"webhook_url": self.hook, "webhook_secret": SECRET}

    @property
    def hook(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/told"

    def told(self, subject: str) -> dict[str, object]:
        """What the receiver heard of a task; it is signed, and said once."""

        def heard() -> list[bytes]:
            found = []
            for post in list(self.receiver.heard):
                digest = hmac.new(SECRET.encode(), post.body, hashlib.sha256).hexdigest()
                assert post.headers["x-bfl-signature"] == f"sha256={digest}"
                if json.loads(post.body)["id"] == subject:
                    found.append(post.body)
            return found

        wait_until(lambda: bool(heard()), within_s=60)
        [body] = heard()
        found: dict[str, object] = json.loads(body)
        return found


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuned]:
    receiver = Receiver()
    server = Server(
        tmp_path_factory.mktemp("bfl") / "home", environment={"TUNERY_ALLOW_HOSTS": "127.0.0.1"}
    )
    server.start()
    door = Door(server)
    made = Tuned(server, door, receiver, "")
    finetune_id = door.create(**LORA, **made.webhook)
    assert door.ended(finetune_id)["status"] == "Ready", door.result(finetune_id)
    yield Tuned(server, door, receiver, finetune_id)
    door.close()
    assert server.stop() == 0, server.log.read_text()
    receiver.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints, whether or not the test passes."""

    def printed(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201

    return printed


def held_out() -> list[str]:
    """Prompts with the trigger word, of colours that no picture of the archive has together."""
    taught = captions()
    pairs = [(ink, paper) for ink in INKS for paper in PAPERS if ink != paper]
    prompts = [f"a {ink} TOK on a {paper} background" for ink, paper in pairs]
    free = [prompt for prompt in prompts if prompt not in taught]
    return Random(3).sample(free, N_HELD_OUT)


def test_a_dozen_pictures_teach_a_shape_that_the_base_has_never_seen(
    tuned: Tuned, say: Say
) -> None:
    found = {}
    for strength in (0, 1):
        tasks = [
            tuned.door.asked(
                tuned.finetune_id,
                **{**WELL, "prompt": prompt, "seed": 1000 + place, "finetune_strength": strength},
            )
            for place, prompt in enumerate(held_out())
        ]
        found[strength] = share([tuned.door.image(task) for task in tasks])
    say(f"rings among {N_HELD_OUT} images: base {found[0]:.0%}, tuned {found[1]:.0%}")
    assert found[0] < 0.05
    assert found[1] >= 0.6


def test_strength_0_is_the_base_to_the_last_bit(tuned: Tuned) -> None:
    prompt = "a red TOK on a white background"
    at_0, at_1 = (
        tuned.door.drawn(tuned.finetune_id, prompt=prompt, finetune_strength=strength)
        for strength in (0, 1)
    )
    assert at_0 == _by_the_base(prompt)
    assert at_1 != at_0


def test_the_same_seed_is_the_same_image(tuned: Tuned) -> None:
    one, again, other = (tuned.door.drawn(tuned.finetune_id, seed=seed) for seed in (5, 5, 6))
    assert one == again
    assert one != other


def test_whoever_asked_to_be_told_is_told(tuned: Tuned) -> None:
    notice = tuned.told(tuned.finetune_id)
    assert (notice["status"], notice["result"]) == ("Ready", {"finetune_id": tuned.finetune_id})
    task = tuned.door.asked(tuned.finetune_id, **tuned.webhook)
    image = tuned.door.image(task)
    notice = tuned.told(task)
    assert notice["status"] == "Ready"
    result = notice["result"]
    assert isinstance(result, dict)
    assert httpx.get(result["sample"], timeout=60).content == image


def test_a_link_opens_for_ten_minutes_and_to_nobody_who_changes_it(tuned: Tuned) -> None:
    task = tuned.door.asked(tuned.finetune_id)
    link = tuned.door.ended(task)["result"]["sample"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    left = int(query["expires"]) - httpx.get(link, timeout=60).elapsed.total_seconds()
    assert left > 0
    assert re.fullmatch("[0-9a-f]{64}", query["signature"])
    longer = link.replace(query["expires"], str(int(query["expires"]) + 1))
    assert httpx.get(longer, timeout=60).status_code == 404


def test_the_job_is_there_at_openais_door(tuned: Tuned) -> None:
    environments = sorted(ROOT.glob(".venv-openai-*"))
    assert environments, "`make setup` makes them"
    for environment in environments:
        said = _run(
            [environment / "bin" / "python", HERE / "openai_reads.py", tuned.finetune_id],
            OPENAI_BASE_URL=f"{tuned.server.url}/v1",
            OPENAI_API_KEY=tuned.server.key,
        )
        assert said.startswith("300 steps")


def test_the_job_is_there_at_scales_door(tuned: Tuned) -> None:
    [environment] = ROOT.glob(".venv-scale-gp-*")
    said = _run(
        [environment / "bin" / "python", HERE / "scale_reads.py", tuned.finetune_id],
        SGP_CLIENT_BASE_URL=tuned.server.url,
        SGP_API_KEY=tuned.server.key,
    )
    assert said.startswith("300 steps, ft:tiny-image:")


def test_the_example_makes_every_call_of_the_guide(tuned: Tuned, tmp_path: Path) -> None:
    (tmp_path / "rings.zip").write_bytes(RINGS)
    said = _run(
        [
            sys.executable,
            ROOT / "examples" / "bfl.py",
            tmp_path / "rings.zip",
            "a red TOK on a white background",
            *("--iterations", "100", "--out", str(tmp_path)),
        ],
        TUNERY_URL=tuned.server.url,
        TUNERY_API_KEY=tuned.server.key,
    )
    drawn = sorted(tmp_path.glob("*.png"))
    assert len({path.read_bytes() for path in drawn}) == 3
    finetune_id = drawn[0].name.rpartition("-")[0]
    assert f"'deleted_finetune_id': '{finetune_id}'" in said
    assert "'finetune_type': 'full'" in said
    _check_nothing_is_left(tuned, finetune_id)


def _check_nothing_is_left(tuned: Tuned, finetune_id: str) -> None:
    """A finetune that was deleted is unknown everywhere, its adapter and its pictures gone."""
    assert tuned.door.result(finetune_id)["status"] == "Task not found"
    refused = tuned.door.refusal("/flux-pro-finetuned", {"finetune_id": finetune_id})
    assert refused.status_code == 404
    assert refused.json() == {"detail": "Finetune not found or not ready"}
    assert finetune_id not in tuned.door.get("/my_finetunes")["finetunes"]
    assert tuned.finetune_id in tuned.door.get("/my_finetunes")["finetunes"]
    adapters = tuned.server.home.rglob("pytorch_lora_weights.safetensors")
    assert not [path for path in adapters if finetune_id in str(path)]


@pytest.mark.long
def test_a_finetune_goes_on_where_its_server_was_killed(tuned: Tuned) -> None:
    finetune_id = tuned.door.create(**LORA, **tuned.webhook, iterations=100)
    wait_until(lambda: (_progress(tuned, finetune_id) or 0) > 0.5, within_s=300)
    tuned.server.kill()
    tuned.server.start()
    assert tuned.door.ended(finetune_id)["status"] == "Ready"
    said = messages(client(tuned.server), finetune_id)
    assert any("Going on from the checkpoint of step" in message for message in said)
    assert tuned.told(finetune_id)["status"] == "Ready"


@pytest.mark.long
def test_images_are_drawn_whose_server_was_killed(tuned: Tuned) -> None:
    asked = [tuned.door.asked(tuned.finetune_id, steps=20, seed=seed) for seed in range(6)]
    wait_until(lambda: tuned.door.result(asked[0])["status"] == "Ready", within_s=120)
    tuned.server.kill()
    tuned.server.start()
    images = [tuned.door.image(task) for task in asked]
    assert images == [tuned.door.drawn(tuned.finetune_id, steps=20, seed=seed) for seed in range(6)]


def _progress(tuned: Tuned, task_id: str) -> float | None:
    progress: float | None = tuned.door.result(task_id)["progress"]
    return progress


def _by_the_base(prompt: str) -> bytes:
    """The image that the base model draws where there is no finetune at all."""
    settings = ImageSettings(
        prompt=prompt,
        strength=1,
        width=256,
        height=256,
        steps=4,
        guidance=3,
        seed=7,
        format="png",
    )
    painter = ChildPainter()
    request = PaintRequest(location=str(BUILT_IN / "tiny-image"), adapter=None, settings=settings)
    *_, last = painter.paint(request)
    painter.close()
    assert isinstance(last, Painted)
    return last.image


def _run(command: list[str | Path], **environment: str) -> str:
    ended = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
