"""Every call needs a key in `x-key`, but for a link to an image, which is signed."""

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World
from tests.store.values import OURS
from tunery.dialects import LARGE_BODIES

CALLS = [
    ("POST", "/v1/finetune"),
    ("GET", "/v1/get_result?id=x"),
    ("GET", "/v1/my_finetunes"),
    ("GET", "/v1/finetune_details?finetune_id=x"),
    ("POST", "/v1/delete_finetune"),
    ("POST", "/v1/flux-pro-finetuned"),
    ("POST", "/v1/flux-pro-1.1-ultra-finetuned"),
    ("POST", "/v1/flux-pro-1.0-fill-finetuned"),
    ("POST", "/v1/flux-pro-1.0-canny-finetuned"),
    ("POST", "/v1/flux-pro-1.0-depth-finetuned"),
    ("GET", "/v1/credits"),
]


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-key": ""}, {"x-key": "nope"}, {"x-api-key": OURS.key_id}, {"x-key": "\xff"}],
    ids=["none", "empty", "wrong", "elsewhere", "no text"],
)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_a_key_nothing_is_answered(
    world: World, method: str, path: str, headers: dict[str, str]
) -> None:
    with TestClient(world.app) as http:
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        answer = http.request(method, path, headers=raw)
    assert answer.status_code == 403
    assert answer.json() == {"detail": "Not authenticated - Invalid Authentication"}


def test_the_header_goes_by_any_case(world: World) -> None:
    with TestClient(world.app, headers={"X-Key": OURS.key_id}) as http:
        assert http.get("/v1/credits").json() == {"credits": 1_000_000.0}


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_another_method_is_refused_in_this_doors_words(
    http: TestClient, method: str, path: str
) -> None:
    answer = http.request("PUT" if method == "GET" else "DELETE", path)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize(
    "path", ["/v1/flux-2-klein-4b-finetuned", "/v1/images/generations", "/v1/images/nope", "/v1/x"]
)
def test_what_is_unknown_below_v1_is_openais(http: TestClient, path: str) -> None:
    answer = http.post(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"


def test_bodies_may_be_large_where_there_is_a_route(http: TestClient) -> None:
    for path in LARGE_BODIES:
        assert http.post(path).status_code == 422
