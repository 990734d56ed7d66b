"""What BFL's door refuses: the exact status and body, and nothing half-made is left behind."""

# A case is a line, so that one can be told from the next.
# ruff: noqa: E501

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.bfl.calls import FILL, FINETUNE, PRO, ULTRA, asked, ready
from tests.dialects.pictures import archive, encoded, picture, pictures
from tests.dialects.world import NOWHERE, World

MODES = "Input should be 'general', 'character', 'style' or 'product'"
FORMATS = "Input should be 'jpeg', 'png' or 'webp'"
SPACES = "it must have 1 to 2083 characters, none of them a space"
RATIO = 'Value error, must be two whole numbers such as "16:9"'
UPSAMPLING = "Value error, there is no model here that would write a longer prompt; leave prompt_upsampling out"
IMAGE_PROMPT = "Value error, an image prompt needs an image encoder, which the model does not have; leave image_prompt out"
SURROGATE = "Input should be a valid string, unable to parse raw data as a unicode string"
NUL = "Value error, must not hold the character U+0000"
NOT_JSON = "Input should be a valid dictionary or object to extract fields from"


def fault(loc: tuple[str | int, ...], msg: str, type: str) -> dict[str, Any]:
    return {"loc": list(loc), "msg": msg, "type": type}


@pytest.fixture(autouse=True)
def nothing_is_left(http: TestClient, world: World) -> Iterator[None]:
    """Whatever is refused leaves no job, no image, and no byte on the disk."""
    yield
    jobs = http.get("/v1/my_finetunes").json()["finetunes"]
    files = world.blobs.path("files")
    assert len(list(files.iterdir()) if files.exists() else []) == len(jobs)
    assert not world.blobs.path("image-generations").exists()
    assert world.store.n_pending_images("ours") == 0
    assert world.store.take_errand("draw", 30) is None
    assert world.store.claim("worker", 30) is None


@pytest.fixture
def finetune_id(http: TestClient, world: World) -> str:
    return ready(http, world)


def refused(answer: Any, loc: tuple[str, ...], message: str, kind: str) -> None:  # noqa: ANN401
    assert answer.status_code == 422, answer.text
    assert answer.json() == {"detail": [fault(loc, message, kind)]}


@pytest.mark.parametrize(
    ("body", "field", "message", "kind"),
    [
        ({"file_data": None}, "file_data", "Input should be a valid string", "string_type"),
        ({"file_data": 7}, "file_data", "Input should be a valid string", "string_type"),
        ({"file_data": ["a"]}, "file_data", "Input should be a valid string", "string_type"),
        ({"file_data": "not base64!"}, "file_data", "file_data is not base64: Only base64 data is allowed", "invalid_value"),
        ({"file_data": "UEsDB"}, "file_data", "file_data is not base64: Invalid base64-encoded string: number of data characters (5) cannot be 1 more than a multiple of 4", "invalid_value"),
        ({"file_data": "UEsDBA"}, "file_data", "file_data is not base64: Incorrect padding", "invalid_value"),
        ({"file_data": "UEs=DBA="}, "file_data", "file_data is not base64: Excess data after padding", "invalid_value"),
        ({"file_data": "UEs-_w=="}, "file_data", "file_data is not base64: Only base64 data is allowed", "invalid_value"),
        ({"file_data": "\N{SNOWMAN}"}, "file_data", "file_data is not base64: string argument should contain only ASCII characters", "invalid_value"),
        ({"file_data": "data:application/zip,UEsDBA=="}, "file_data", "file_data is not base64: Only base64 data is allowed", "invalid_value"),
        ({"finetune_comment": None}, "finetune_comment", "Input should be a valid string", "string_type"),
        ({"finetune_comment": 7}, "finetune_comment", "Input should be a valid string", "string_type"),
        ({"finetune_comment": "x" * 32_769}, "finetune_comment", "String should have at most 32768 characters", "string_too_long"),
        ({"finetune_comment": "a\0b"}, "finetune_comment", NUL, "value_error"),
        ({"mode": "dog"}, "mode", MODES, "enum"),
        ({"mode": None}, "mode", MODES, "enum"),
        ({"mode": "Product"}, "mode", MODES, "enum"),
        ({"mode": ["style"]}, "mode", MODES, "enum"),
        ({"trigger_word": ""}, "trigger_word", "String should have at least 1 character", "string_too_short"),
        ({"trigger_word": None}, "trigger_word", "Input should be a valid string", "string_type"),
        ({"trigger_word": "x" * 257}, "trigger_word", "String should have at most 256 characters", "string_too_long"),
        ({"iterations": 99}, "iterations", "Input should be greater than or equal to 100", "greater_than_equal"),
        ({"iterations": 1001}, "iterations", "Input should be less than or equal to 1000", "less_than_equal"),
        ({"iterations": 150.5}, "iterations", "Input should be a valid integer, got a number with a fractional part", "int_from_float"),
        ({"iterations": None}, "iterations", "Input should be a valid integer", "int_type"),
        ({"iterations": "many"}, "iterations", "Input should be a valid integer, unable to parse string as an integer", "int_parsing"),
        ({"learning_rate": 0}, "learning_rate", "Input should be greater than or equal to 0.000001", "greater_than_equal"),
        ({"learning_rate": 0.0051}, "learning_rate", "Input should be less than or equal to 0.005", "less_than_equal"),
        ({"learning_rate": "fast"}, "learning_rate", "Input should be a valid number, unable to parse string as a number", "float_parsing"),
        ({"captioning": "perhaps"}, "captioning", "Input should be a valid boolean, unable to interpret input", "bool_parsing"),
        ({"captioning": None}, "captioning", "Input should be a valid boolean", "bool_type"),
        ({"priority": "high"}, "priority", "Input should be 'speed', 'quality' or 'high_res_only'", "enum"),
        ({"finetune_type": "dora"}, "finetune_type", "Input should be 'lora' or 'full'", "enum"),
        ({"lora_rank": 8}, "lora_rank", "Input should be 16 or 32", "enum"),
        ({"lora_rank": None}, "lora_rank", "Input should be 16 or 32", "enum"),
        ({"webhook_url": ""}, "webhook_url", "Input should be a valid URL, input is empty", "url_parsing"),
        ({"webhook_url": "me"}, "webhook_url", "Input should be a valid URL, relative URL without a base", "url_parsing"),
        ({"webhook_url": 7}, "webhook_url", "URL input should be a string or URL", "url_type"),
        ({"webhook_url": "ftp://me.example/"}, "webhook_url", "URL scheme should be 'http' or 'https'", "url_scheme"),
        ({"webhook_url": "https://me.example/" + "x" * 2065}, "webhook_url", "URL should have at most 2083 characters", "url_too_long"),
        ({"webhook_url": f"https://{NOWHERE}/"}, "webhook_url", f"'{NOWHERE}' is not on a public address.", "host_not_allowed"),
        ({"webhook_url": "https://me:secret@me.example/"}, "webhook_url", "webhook_url cannot be used: it has a user's name or password in it; leave them out", "invalid_value"),
        ({"webhook_url": "https://me.example/", "webhook_secret": 7}, "webhook_secret", "Input should be a valid string", "string_type"),
        ({"webhook_url": "https://me.example/", "webhook_secret": "x" * 1025}, "webhook_secret", "String should have at most 1024 characters", "string_too_long"),
    ],
)  # fmt: skip
def test_a_finetune_that_cannot_be(
    http: TestClient, body: Mapping[str, Any], field: str, message: str, kind: str
) -> None:
    refused(http.post(FINETUNE, json=asked(**body)), ("body", field), message, kind)


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (b"no ZIP", "ZIP"),
        (b"", "ZIP"),
        (archive(), "no picture"),
        (archive(("a.txt", b"a TOK")), "'a.txt'"),
        (archive(("a.png", picture()), ("b.png", b"no picture")), "'b.png'"),
        (archive(("a.png", picture()), ("../b.png", picture())), "'../b.png'"),
        (archive(("a.png", picture()), ("/b.png", picture())), "'/b.png'"),
        (archive(("a.png", picture()), ("b.zip", pictures())), "'b.zip'"),
        (archive(("a.png", picture()), ("b.exe", b"x")), "'b.exe'"),
    ],
    ids=["no ZIP", "empty", "no entry", "caption", "bad", "dots", "absolute", "nested", "strange"],
)
def test_an_archive_that_cannot_be_learnt_from(http: TestClient, sent: bytes, named: str) -> None:
    answer = http.post(FINETUNE, json=asked(file_data=encoded(sent)))
    assert answer.status_code == 422
    [found] = answer.json()["detail"]
    assert (found["loc"], found["type"]) == (["body", "file_data"], "invalid_value")
    assert found["msg"].startswith("file_data: ")
    assert named in found["msg"]


def test_every_fault_is_named_at_once(http: TestClient) -> None:
    answer = http.post(FINETUNE, json={"mode": "dog"})
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [
            fault(("body", "file_data"), "Field required", "missing"),
            fault(("body", "finetune_comment"), "Field required", "missing"),
            fault(("body", "mode"), MODES, "enum"),
        ]
    }


_IMAGE = {"image": encoded(picture())}
_COMMON: list[tuple[dict[str, Any], str, str, str]] = [
    ({"finetune_id": None}, "finetune_id", "Input should be a valid string", "string_type"),
    ({"finetune_id": "x" * 513}, "finetune_id", "String should have at most 512 characters", "string_too_long"),
    ({"finetune_strength": -0.1}, "finetune_strength", "Input should be greater than or equal to 0", "greater_than_equal"),
    ({"finetune_strength": 2.1}, "finetune_strength", "Input should be less than or equal to 2", "less_than_equal"),
    ({"finetune_strength": None}, "finetune_strength", "Input should be a valid number", "float_type"),
    ({"prompt": 7}, "prompt", "Input should be a valid string", "string_type"),
    ({"prompt": "x" * 32_769}, "prompt", "String should have at most 32768 characters", "string_too_long"),
    ({"prompt": "a\0b"}, "prompt", NUL, "value_error"),
    ({"prompt_upsampling": True}, "prompt_upsampling", UPSAMPLING, "value_error"),
    ({"seed": 1.5}, "seed", "Input should be a valid integer, got a number with a fractional part", "int_from_float"),
    ({"seed": 2**63}, "seed", "Input should be less than or equal to 9223372036854775807", "less_than_equal"),
    ({"safety_tolerance": 7}, "safety_tolerance", "Input should be less than or equal to 6", "less_than_equal"),
    ({"safety_tolerance": -1}, "safety_tolerance", "Input should be greater than or equal to 0", "greater_than_equal"),
    ({"output_format": "gif"}, "output_format", FORMATS, "enum"),
    ({"webhook_url": "me"}, "webhook_url", "Input should be a valid URL, relative URL without a base", "url_parsing"),
    ({"webhook_url": f"https://{NOWHERE}/"}, "webhook_url", f"'{NOWHERE}' is not on a public address.", "host_not_allowed"),
]  # fmt: skip


@pytest.mark.parametrize("path", [PRO, ULTRA, FILL])
@pytest.mark.parametrize(("body", "field", "message", "kind"), _COMMON)
def test_an_image_that_cannot_be(
    http: TestClient,
    finetune_id: str,
    path: str,
    body: Mapping[str, Any],
    field: str,
    message: str,
    kind: str,
) -> None:
    sent = {"finetune_id": finetune_id, **_IMAGE, **body}
    refused(http.post(path, json=sent), ("body", field), message, kind)


@pytest.mark.parametrize(
    ("path", "body", "field", "message", "kind"),
    [
        (PRO, {"prompt": None}, "prompt", "Input should be a valid string", "string_type"),
        (PRO, {"steps": 0}, "steps", "Input should be greater than or equal to 1", "greater_than_equal"),
        (PRO, {"steps": 51}, "steps", "Input should be less than or equal to 50", "less_than_equal"),
        (PRO, {"guidance": 1.4}, "guidance", "Input should be greater than or equal to 1.5", "greater_than_equal"),
        (PRO, {"guidance": 5.1}, "guidance", "Input should be less than or equal to 5", "less_than_equal"),
        (PRO, {"width": 255}, "width", "Input should be a multiple of 32", "multiple_of"),
        (PRO, {"width": 224}, "width", "Input should be greater than or equal to 256", "greater_than_equal"),
        (PRO, {"width": 1472}, "width", "Input should be less than or equal to 1440", "less_than_equal"),
        (PRO, {"height": 1000}, "height", "Input should be a multiple of 32", "multiple_of"),
        (PRO, {"height": None}, "height", "Input should be a valid integer", "int_type"),
        (PRO, {"image_prompt": "aGk="}, "image_prompt", IMAGE_PROMPT, "value_error"),
        (PRO, {"image_prompt": 7}, "image_prompt", "Input should be a valid string", "string_type"),
        (ULTRA, {"image_prompt": "aGk="}, "image_prompt", IMAGE_PROMPT, "value_error"),
        (ULTRA, {"image_prompt_strength": 1.1}, "image_prompt_strength", "Input should be less than or equal to 1", "less_than_equal"),
        (ULTRA, {"aspect_ratio": "wide"}, "aspect_ratio", RATIO, "value_error"),
        (ULTRA, {"aspect_ratio": ""}, "aspect_ratio", RATIO, "value_error"),
        (ULTRA, {"aspect_ratio": "16:0"}, "aspect_ratio", RATIO, "value_error"),
        (ULTRA, {"aspect_ratio": "16:9 "}, "aspect_ratio", RATIO, "value_error"),
        (ULTRA, {"aspect_ratio": "1.5:1"}, "aspect_ratio", RATIO, "value_error"),
        (ULTRA, {"aspect_ratio": "99999:99999"}, "aspect_ratio", RATIO, "value_error"),
        (ULTRA, {"aspect_ratio": "22:9"}, "aspect_ratio", "Value error, must be from 21:9 to 9:21", "value_error"),
        (ULTRA, {"aspect_ratio": "9:22"}, "aspect_ratio", "Value error, must be from 21:9 to 9:21", "value_error"),
        (ULTRA, {"aspect_ratio": None}, "aspect_ratio", "Input should be a valid string", "string_type"),
        (FILL, {"image": None}, "image", "Input should be a valid string", "string_type"),
        (FILL, {"image": "not base64!"}, "image", "image is not base64: Only base64 data is allowed", "invalid_value"),
        (FILL, {"image": encoded(b"no picture")}, "image", "image cannot be used: it is no picture that is read here; send JPEG, PNG or WebP", "invalid_value"),
        (FILL, {"mask": "not base64!"}, "mask", "mask is not base64: Only base64 data is allowed", "invalid_value"),
        (FILL, {"mask": ""}, "mask", "mask cannot be used: it is empty; send JPEG, PNG or WebP", "invalid_value"),
        (FILL, {"mask": encoded(picture(80, 48))}, "mask", "The mask has 80 x 48 pixels; it must have the 64 x 64 of the picture.", "invalid_value"),
        (FILL, {"steps": 14}, "steps", "Input should be greater than or equal to 15", "greater_than_equal"),
        (FILL, {"guidance": 101}, "guidance", "Input should be less than or equal to 100", "less_than_equal"),
    ],
)  # fmt: skip
def test_an_image_of_one_kind_that_cannot_be(
    http: TestClient,
    finetune_id: str,
    path: str,
    body: Mapping[str, Any],
    field: str,
    message: str,
    kind: str,
) -> None:
    sent = {"finetune_id": finetune_id, **_IMAGE, **body}
    refused(http.post(path, json=sent), ("body", field), message, kind)


def test_a_picture_to_fill_has_to_be_there(http: TestClient, finetune_id: str) -> None:
    answer = http.post(FILL, json={"finetune_id": finetune_id})
    refused(answer, ("body", "image"), "Field required", "missing")


@pytest.mark.parametrize("path", [FINETUNE, PRO, ULTRA, FILL, "/v1/delete_finetune"])
@pytest.mark.parametrize(
    ("sent", "loc", "message", "kind"),
    [
        (b"", ("body",), "Field required", "missing"),
        (b"null", ("body",), NOT_JSON, "model_attributes_type"),
        (b"[]", ("body",), NOT_JSON, "model_attributes_type"),
        (b'"x"', ("body",), NOT_JSON, "model_attributes_type"),
        (b"{", ("body", 1), "JSON decode error", "json_invalid"),
        (b"{\"finetune_id\": 'x'}", ("body", 16), "JSON decode error", "json_invalid"),
    ],
)
def test_a_body_that_is_none(
    http: TestClient, path: str, sent: bytes, loc: tuple[str, ...], message: str, kind: str
) -> None:
    headers = {"content-type": "application/json"}
    refused(http.post(path, content=sent, headers=headers), loc, message, kind)


@pytest.mark.parametrize(
    "sent", [b"[" * 100_000, b'{"mode": "\xff"}', b'{"seed": ' + b"9" * 5000 + b"}"]
)
@pytest.mark.parametrize("path", [FINETUNE, PRO])
def test_a_body_that_cannot_be_read(http: TestClient, path: str, sent: bytes) -> None:
    answer = http.post(path, content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {"detail": "There was an error parsing the body"}


@pytest.mark.parametrize(
    ("path", "field", "number"),
    [
        (FINETUNE, "learning_rate", "NaN"),
        (PRO, "finetune_strength", "NaN"),
        (PRO, "guidance", "Infinity"),
    ],
)
def test_what_is_no_number_is_in_no_range(
    http: TestClient, finetune_id: str, path: str, field: str, number: str
) -> None:
    body = json.dumps({"finetune_id": finetune_id, **asked()})[:-1] + f', "{field}": {number}}}'
    answer = http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert [found["loc"] for found in answer.json()["detail"]] == [["body", field]]


@pytest.mark.parametrize("field", ["finetune_comment", "trigger_word", "webhook_secret"])
def test_half_a_character_cannot_be_kept(http: TestClient, field: str) -> None:
    body = json.dumps(asked(**{field: "\ud800"}))
    answer = http.post(FINETUNE, content=body, headers={"content-type": "application/json"})
    refused(answer, ("body", field), SURROGATE, "string_unicode")


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/get_result", "id"), ("/v1/finetune_details", "finetune_id")]
)
def test_a_query_has_to_name_something(http: TestClient, path: str, field: str) -> None:
    refused(http.get(path), ("query", field), "Field required", "missing")


@pytest.mark.parametrize("named", ["", "nope", "ftjob-" + "0" * 24, "ftjob-" + "0" * 23 + "G"])
def test_a_finetune_that_there_is_not(http: TestClient, named: str) -> None:
    for answer in (
        http.get("/v1/finetune_details", params={"finetune_id": named}),
        http.post("/v1/delete_finetune", json={"finetune_id": named}),
    ):
        assert answer.status_code == 404
        assert answer.json() == {"detail": "Finetune not found or not ready"}


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        ({}, "Field required", "missing"),
        ({"finetune_id": None}, "Input should be a valid string", "string_type"),
        ({"finetune_id": 7}, "Input should be a valid string", "string_type"),
    ],
)
def test_a_delete_that_names_nothing(
    http: TestClient, body: Mapping[str, Any], message: str, kind: str
) -> None:
    answer = http.post("/v1/delete_finetune", json=body)
    refused(answer, ("body", "finetune_id"), message, kind)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_that_cannot_be(http: TestClient, key: str) -> None:
    answer = http.post(FINETUNE, json=asked(), headers={"idempotency-key": key})
    assert answer.status_code == 422
    [found] = answer.json()["detail"]
    assert found["loc"] == ["header", "Idempotency-Key"]


def test_what_was_sent_is_not_repeated(http: TestClient) -> None:
    secret = base64.b64encode(b"s3cret-word").decode()
    body = asked(file_data=secret, webhook_secret=["s3cret-word"])
    answer = http.post(FINETUNE, json=body)
    assert answer.status_code == 422
    assert secret not in answer.text
    assert "s3cret-word" not in answer.text
