"""Images at BFL's door: what is asked for, how it is polled, and the links that open them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from tests.dialects.bfl.calls import FILL, NEVER, PRO, ULTRA, asked, begun, finetuned, ready, result
from tests.dialects.pictures import encoded, picture
from tests.dialects.world import DRAWN, World
from tests.store.values import OURS, THEIRS
from tunery.core.image_generations import GenerationStatus, ImageGeneration, ImageSettings
from tunery.dialects.bfl.images.schemas import size
from tunery.dialects.bfl.results.mapping import IMAGE_STATUS
from tunery.service.image_generations import MOST_PENDING
from tunery.service.links import VALID_S


@pytest.fixture
def finetune_id(http: TestClient, world: World) -> str:
    return ready(http, world)


def kept(world: World, generation_id: str) -> ImageGeneration:
    return world.store.image_generation("ours", generation_id)


def test_every_state_has_a_word() -> None:
    assert set(IMAGE_STATUS) == set(GenerationStatus)


def test_all_that_is_asked_for_reaches_the_painter(
    http: TestClient, world: World, finetune_id: str
) -> None:
    generation = kept(
        world,
        begun(
            http,
            PRO,
            finetune_id,
            prompt="TOK on a beach",
            finetune_strength=0,
            steps=3,
            guidance=1.5,
            width=256,
            height=1440,
            seed=42,
            safety_tolerance=6,
            output_format="png",
        ),
    )
    assert generation.job_id == finetune_id
    assert generation.settings == ImageSettings(
        prompt="TOK on a beach",
        strength=0,
        width=256,
        height=1440,
        steps=3,
        guidance=1.5,
        seed=42,
        format="png",
    )
    assert (generation.fills, generation.has_mask, generation.webhook) == (False, False, None)


@pytest.mark.parametrize(
    ("path", "more", "strength", "steps", "guidance", "sides"),
    [
        (PRO, {}, 1.1, 40, 2.5, (1024, 768)),
        (PRO, {"steps": None, "guidance": None}, 1.1, None, None, (1024, 768)),
        (ULTRA, {}, 1.2, None, None, (1376, 768)),
        (ULTRA, {"prompt": None}, 1.2, None, None, (1376, 768)),
        (FILL, {"image": encoded(picture(80, 48))}, 1.1, 50, 60, (80, 48)),
    ],
)
def test_what_is_left_out_is_bfls_default(
    http: TestClient,
    world: World,
    finetune_id: str,
    path: str,
    more: Mapping[str, Any],
    strength: float,
    steps: int | None,
    guidance: float | None,
    sides: tuple[int, int],
) -> None:
    settings = kept(world, begun(http, path, finetune_id, **more)).settings
    assert (settings.prompt, settings.strength, settings.format) == ("", strength, "jpeg")
    assert (settings.steps, settings.guidance) == (steps, guidance)
    assert (settings.width, settings.height) == sides


def test_a_seed_that_is_not_given_is_another_each_time(
    http: TestClient, world: World, finetune_id: str
) -> None:
    seeds = {
        kept(world, begun(http, ULTRA, finetune_id, **more)).settings.seed
        for more in ({}, {"seed": None}, {})
    }
    assert len(seeds) == 3


@pytest.mark.parametrize("seed", [0, -1, 2**32, 2**63 - 1, -(2**63)])
def test_any_seed_that_fits_64_bits_will_do(
    http: TestClient, world: World, finetune_id: str, seed: int
) -> None:
    generation_id = begun(http, PRO, finetune_id, seed=seed)
    world.draw(generation_id)
    assert result(http, generation_id)["result"]["seed"] == seed


def test_what_clients_also_send_to_ultra_is_ignored(
    http: TestClient, world: World, finetune_id: str
) -> None:
    more = {"width": 10, "height": "x", "num_images": 4, "raw": True, "steps": 0}
    settings = kept(world, begun(http, ULTRA, finetune_id, aspect_ratio="1:1", **more)).settings
    assert (settings.width, settings.height) == (1024, 1024)


@pytest.mark.parametrize(
    "ratio", ["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21", "1000:999"]
)
def test_a_ratio_becomes_about_a_megapixel(ratio: str) -> None:
    width, height = size(ratio)
    assert width % 32 == height % 32 == 0
    assert 0.95 < width * height / 2**20 < 1.05
    wide, high = map(int, ratio.split(":"))
    assert width / height == pytest.approx(wide / high, rel=0.05)


@pytest.mark.parametrize("mask", [None, encoded(picture(80, 48, mode="L"))])
def test_a_picture_to_fill_is_kept_with_its_mask(
    http: TestClient, world: World, finetune_id: str, mask: str | None
) -> None:
    image = "data:image/png;base64," + encoded(picture(80, 48))
    generation = kept(world, begun(http, FILL, finetune_id, image=image, mask=mask))
    assert (generation.fills, generation.has_mask) == (True, mask is not None)
    assert world.blobs.path(generation.source).exists()
    assert world.blobs.path(generation.mask).exists() == (mask is not None)


def test_the_answer_says_where_to_ask(http: TestClient, finetune_id: str) -> None:
    answer = http.post(PRO, json={"finetune_id": finetune_id}).json()
    assert answer == {
        "id": answer["id"],
        "polling_url": f"http://testserver/v1/get_result?id={answer['id']}",
        "cost": None,
        "input_mp": None,
        "output_mp": None,
    }
    assert http.get(answer["polling_url"]).json()["status"] == "Pending"


def test_the_answer_names_the_webhook_where_there_is_one(
    http: TestClient, world: World, finetune_id: str
) -> None:
    told = {"webhook_url": "https://me.example/", "webhook_secret": "s3cret-word"}
    answer = http.post(ULTRA, json={"finetune_id": finetune_id, **told}).json()
    assert (answer["status"], answer["webhook_url"]) == ("Pending", told["webhook_url"])
    webhook = kept(world, answer["id"]).webhook
    assert webhook is not None
    assert (webhook.door, webhook.link_base) == ("bfl", "http://testserver")
    assert webhook.secret != told["webhook_secret"]


def test_an_image_is_polled_until_it_is_ready(
    http: TestClient, world: World, finetune_id: str
) -> None:
    generation_id = begun(http, PRO, finetune_id, prompt="TOK", seed=7)
    waiting = {
        "id": generation_id,
        "status": "Pending",
        "result": None,
        "progress": 0.0,
        "details": None,
        "preview": None,
    }
    assert result(http, generation_id) == waiting
    drawn = world.draw(generation_id)
    assert drawn.started_at is not None
    found = result(http, generation_id)
    sample = found["result"].pop("sample")
    began = drawn.started_at.timestamp()
    assert found == {
        **waiting,
        "status": "Ready",
        "progress": None,
        "result": {
            "prompt": "TOK",
            "seed": 7,
            "start_time": began,
            "end_time": began + 2,
            "duration": 2.0,
        },
    }
    assert sample.startswith(f"http://testserver/v1/images/{generation_id}?expires=")


def test_an_image_that_failed_says_why(http: TestClient, world: World, finetune_id: str) -> None:
    generation_id = begun(http, PRO, finetune_id)
    world.draw(generation_id, error="The finetune was deleted.")
    found = result(http, generation_id)
    assert (found["status"], found["result"], found["progress"]) == ("Error", None, None)
    assert found["details"] == {"message": "The finetune was deleted."}


@pytest.mark.parametrize("output_format", ["jpeg", "png", "webp", None])
def test_a_link_opens_the_image_without_a_key(
    http: TestClient, world: World, finetune_id: str, output_format: str | None
) -> None:
    generation_id = begun(http, ULTRA, finetune_id, output_format=output_format)
    world.draw(generation_id)
    sample = result(http, generation_id)["result"]["sample"]
    with TestClient(world.app) as nobody:
        opened = nobody.get(sample, headers={"origin": "https://elsewhere.example"})
    assert opened.status_code == 200
    assert opened.content == DRAWN
    assert opened.headers["content-type"] == f"image/{output_format or 'jpeg'}"
    assert opened.headers["cache-control"].startswith("private")
    # As the real host: whoever shows it on a page has to fetch it first.
    assert not [name for name in opened.headers if name.startswith("access-control")]


def test_each_poll_gives_a_link_for_ten_minutes_more(
    http: TestClient, world: World, finetune_id: str
) -> None:
    generation_id = begun(http, PRO, finetune_id)
    world.draw(generation_id)
    sample = result(http, generation_id)["result"]["sample"]
    world.clock.advance(VALID_S - 1)
    assert http.get(sample).status_code == 200
    world.clock.advance(2)
    assert http.get(sample).status_code == 404
    assert http.get(result(http, generation_id)["result"]["sample"]).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"expires": "99999999999"},
        {"expires": ""},
        {"expires": "soon"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\N{SNOWMAN}"},
    ],
)
def test_a_link_that_was_changed_opens_nothing(
    http: TestClient, world: World, finetune_id: str, changed: Mapping[str, str]
) -> None:
    generation_id = begun(http, PRO, finetune_id)
    world.draw(generation_id)
    parts = urlsplit(result(http, generation_id)["result"]["sample"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert http.get(parts.path, params=query).status_code == 200
    refused = http.get(parts.path, params={**query, **changed})
    assert refused.status_code == 404
    assert refused.json() == {"detail": f"There is no image '{generation_id}'."}


def test_a_link_opens_no_other_image(http: TestClient, world: World, finetune_id: str) -> None:
    one, other = (begun(http, PRO, finetune_id) for _ in range(2))
    for generation_id in (one, other):
        world.draw(generation_id)
    sample = result(http, one)["result"]["sample"]
    assert http.get(sample.replace(one, other)).status_code == 404


def test_an_image_that_is_not_ready_is_behind_no_link(
    http: TestClient, world: World, finetune_id: str
) -> None:
    generation_id = begun(http, PRO, finetune_id)
    query = world.services.links.query(generation_id)
    assert http.get(f"/v1/images/{generation_id}", params=query).status_code == 404


def test_another_projects_image_is_no_task(
    http: TestClient, world: World, finetune_id: str
) -> None:
    generation_id = begun(http, PRO, finetune_id)
    with TestClient(world.app, headers={"x-key": THEIRS.key_id}) as theirs:
        assert result(theirs, generation_id)["status"] == "Task not found"


@pytest.mark.parametrize("path", [PRO, ULTRA, FILL])
def test_what_cannot_draw_is_not_found_or_not_ready(
    http: TestClient, world: World, path: str
) -> None:
    unready, gone = finetuned(http), finetuned(http)
    http.post("/v1/delete_finetune", json={"finetune_id": gone})
    failed = finetuned(http)
    world.services.jobs.cancel(OURS, failed)
    with TestClient(world.app, headers={"x-key": THEIRS.key_id}) as theirs:
        other = finetuned(theirs)
    text = {"model": "tiny-chat", "training_file": world.file()}
    bearer = {"authorization": f"Bearer {OURS.key_id}"}
    chat = http.post("/v1/fine_tuning/jobs", json=text, headers=bearer).json()["id"]
    strange = ("", "my-finetune", "org-id/lora-name", "\N{SNOWMAN}", "../x", NEVER[6:])
    for named in (NEVER, unready, gone, failed, other, chat, *strange):
        answer = http.post(path, json={"finetune_id": named, "image": encoded(picture())})
        assert answer.status_code == 404
        assert answer.json() == {"detail": "Finetune not found or not ready"}
    assert world.store.n_pending_images("ours") == 0


def test_a_finetune_is_known_by_its_digits_alone(
    http: TestClient, world: World, finetune_id: str
) -> None:
    generation_id = begun(http, PRO, finetune_id.removeprefix("ftjob-"))
    assert kept(world, generation_id).job_id == finetune_id


def test_no_more_images_wait_than_may(http: TestClient, world: World, finetune_id: str) -> None:
    made = [begun(http, ULTRA, finetune_id) for _ in range(MOST_PENDING)]
    refused = http.post(ULTRA, json={"finetune_id": finetune_id})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "5"
    assert list(refused.json()) == ["detail"]
    world.draw(made[0])
    assert http.post(ULTRA, json={"finetune_id": finetune_id}).status_code == 200


def test_a_call_that_comes_again_draws_no_second_image(
    http: TestClient, world: World, finetune_id: str
) -> None:
    headers = {"idempotency-key": "the same"}
    body = {"finetune_id": finetune_id, "image": encoded(picture()), "webhook_secret": "one"}
    made = [http.post(FILL, json=body, headers=headers) for _ in range(2)]
    assert made[0].json() == made[1].json()
    assert world.store.n_pending_images("ours") == 1
    other = {"prompt": "x"}, {"image": encoded(picture(80, 80))}, {"webhook_secret": "two"}
    for more in other:
        refused = http.post(FILL, json={**body, **more}, headers=headers)
        assert (refused.status_code, list(refused.json())) == (409, ["detail"])


@pytest.mark.parametrize("kind", ["canny", "depth"])
def test_a_control_model_is_what_is_missing(http: TestClient, kind: str) -> None:
    answer = http.post(f"/v1/flux-pro-1.0-{kind}-finetuned", json=asked())
    assert answer.status_code == 422
    [fault] = answer.json()["detail"]
    assert (fault["loc"], fault["type"]) == (["body", "control_image"], "unsupported")
    assert "a control model, which this server does not have" in fault["msg"]
