"""Scale's training datasets: files, made from CSV or JSON lines while these come."""

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.world import World
from tests.store.values import OURS
from tunery.core.errors import InvalidFile
from tunery.dialects.egp.training_datasets.conversion import Conversion

DATASETS = "/v4/training-datasets"
CSV = "input,output\nHi,Hello\n" + "".join(f"{n},{n + 1}\n" for n in range(9))
OPENAI = {"authorization": f"Bearer {OURS.key_id}"}


def send(http: TestClient, text: str | bytes, *, named: str | None = None, **form: str) -> Any:  # noqa: ANN401
    """The answer to a create call, the file first, as the client of Scale sends it."""
    fields = {"account_id": "ours", "name": "faq", "schema_type": "GENERATION", **form}
    parts = {name: (None, value) for name, value in fields.items()}
    return http.post(DATASETS, files={"file": (named, text), **parts})


def created(http: TestClient, text: str | bytes, **form: str) -> dict[str, Any]:
    answer = send(http, text, **form)
    assert answer.status_code == 200, answer.text
    dataset: dict[str, Any] = answer.json()
    return dataset


def rows(http: TestClient, dataset: dict[str, Any]) -> list[tuple[str, str]]:
    items = http.get(f"{DATASETS}/{dataset['id']}/contents").json()
    assert {item["schema_type"] for item in items} <= {"GENERATION"}
    return [(item["input"], item["output"]) for item in items]


def test_a_dataset_is_a_file_of_chat_rows(http: TestClient, world: World) -> None:
    dataset = created(http, CSV)
    assert dataset == {
        "id": dataset["id"],
        "account_id": "ours",
        "created_at": "2026-09-21T12:00:00.250000Z",
        "created_by_user_id": OURS.user_id,
        "created_by_identity_type": "user",
        "name": "faq",
        "schema_type": "GENERATION",
        "data_source": "LocalFile",
    }
    assert http.get(f"{DATASETS}/{dataset['id']}").json() == dataset
    assert http.get(DATASETS).json()["items"] == [dataset]
    assert rows(http, dataset)[:2] == [("Hi", "Hello"), ("0", "1")]
    file = http.get(f"/v1/files/{dataset['id']}", headers=OPENAI).json()
    assert (file["filename"], file["purpose"]) == ("faq.jsonl", "fine-tune")
    content = http.get(f"/v1/files/{dataset['id']}/content", headers=OPENAI).text
    assert json.loads(content.split("\n")[0]) == {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
        ]
    }
    assert world.store.file("ours", dataset["id"]).n_rows == 10
    job = http.post("/v4/fine-tuning-jobs", json={"training_dataset_id": dataset["id"]})
    assert job.json()["training_dataset_id"] == dataset["id"]


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        CSV.replace("\n", "\r\n"),
        "\ufeff" + CSV,
        CSV.rstrip("\n"),
        CSV.replace("input,output", '"Input", OUTPUT '),
        CSV.replace("input,output", "prompt,response"),
        "id,output,input\n" + "".join(f"7,{b},{a}\n" for a, b in csv.reader(CSV.split("\n")[1:-1])),
        "\n\n" + CSV.replace("\n", "\n\n"),
        "".join(
            json.dumps({"input": a, "output": b, "id": 7}) + "\n"
            for a, b in csv.reader(CSV.split("\n")[1:-1])
        ),
        "\ufeff"
        + "\r\n".join(
            json.dumps({"prompt": a, "response": b}) for a, b in csv.reader(CSV.split("\n")[1:-1])
        ),
        "\n".join(
            json.dumps({"prompt": a, "completion": b}) for a, b in csv.reader(CSV.split("\n")[1:-1])
        ),
        "\n".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": a},
                        {"role": "assistant", "content": b},
                    ]
                }
            )
            for a, b in csv.reader(CSV.split("\n")[1:-1])
        ),
    ],
)
def test_many_ways_to_write_the_same_rows(http: TestClient, text: str) -> None:
    want = [("Hi", "Hello"), *((str(n), str(n + 1)) for n in range(9))]
    assert rows(http, created(http, text)) == want


def test_a_real_file_part_is_as_good_as_text(http: TestClient) -> None:
    answer = send(http, CSV.encode(), named="anything.csv")
    assert answer.status_code == 200
    assert rows(http, answer.json())[0] == ("Hi", "Hello")


def test_what_comes_through_other_doors_is_a_dataset_by_its_file_name(http: TestClient) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "weight": 0},
        {"role": "user", "content": [{"type": "text", "text": "So?"}]},
        {"role": "assistant", "content": "Well."},
        {"role": "user", "content": "Bye"},
    ]
    line = json.dumps({"messages": messages})
    file = http.post(
        "/v1/files",
        files={"file": ("rows.jsonl", line)},
        data={"purpose": "fine-tune"},
        headers=OPENAI,
    ).json()
    dataset = http.get(f"{DATASETS}/{file['id']}").json()
    assert (dataset["name"], dataset["schema_type"]) == ("rows.jsonl", "GENERATION")
    asked = "system: Be kind.\nuser: Hi\nassistant: Hello\nuser: So?"
    assert rows(http, dataset) == [(asked, "Well.")]


def test_other_files_are_no_datasets(http: TestClient, world: World) -> None:
    other = world.file(purpose="user_data")
    for method, path in (("GET", ""), ("GET", "/contents"), ("DELETE", "")):
        answer = http.request(method, f"{DATASETS}/{other}{path}")
        assert answer.status_code == 404
        assert answer.json() == {"detail": f"There is no training dataset '{other}'."}
    assert http.get(DATASETS).json()["total_item_count"] == 0
    assert world.store.file("ours", other).purpose == "user_data"


def test_rows_that_are_no_pairs_have_no_contents(http: TestClient) -> None:
    said = [{"role": "assistant", "content": "x"}]
    row = {
        "input": {"messages": [{"role": "user", "content": "x"}]},
        "preferred_output": said,
        "non_preferred_output": said,
    }
    dataset = created(http, json.dumps(row))
    answer = http.get(f"{DATASETS}/{dataset['id']}/contents")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "training_dataset_id"]


def test_a_deleted_dataset_is_gone_and_its_bytes_with_it(http: TestClient, world: World) -> None:
    dataset = created(http, CSV)
    path = f"{DATASETS}/{dataset['id']}"
    assert http.delete(path).json() == {"count": 1, "success": True}
    assert http.get(path).status_code == http.get(f"{path}/contents").status_code == 404
    assert http.get(DATASETS).json()["items"] == []
    assert not world.services.files._blobs.path(f"files/{dataset['id']}").exists()


def test_datasets_are_listed_in_pages(http: TestClient, world: World) -> None:
    for number in range(3):
        world.clock.advance(1)
        created(http, CSV, name=f"set {number}")
    first = http.get(DATASETS, params={"limit": 2}).json()
    assert [item["name"] for item in first.pop("items")] == ["set 2", "set 1"]
    assert first == {"current_page": 1, "items_per_page": 2, "total_item_count": 3}
    assert http.get(DATASETS, params={"limit": 2, "page": 3}).json()["items"] == []


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("faq", "faq.jsonl"),
        ("faq.jsonl", "faq.jsonl"),
        ("a/b\\c", "a_b_c.jsonl"),
        ("..", "...jsonl"),
        ("ü" * 255, "ü" * 100 + ".jsonl"),
    ],
)
def test_any_name_makes_a_file_name(
    http: TestClient, world: World, name: str, filename: str
) -> None:
    dataset = created(http, CSV, name=name)
    assert dataset["name"] == name
    assert world.store.file("ours", dataset["id"]).filename == filename


cells = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(cells, cells.filter(bool)), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_where_the_bytes_are_cut_changes_nothing(
    pairs: list[tuple[str, str]], cuts: list[int]
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("input", "output"), *pairs])
    lines = "".join(json.dumps({"input": a, "output": b}) + "\n" for a, b in pairs)
    for data in (text.getvalue().encode(), lines.encode()):
        conversion = Conversion()
        out, begin = b"", 0
        for cut in [*sorted(cuts), len(data)]:
            out += conversion.feed(data[begin:cut])
            begin = max(begin, cut)
        out += conversion.finish()
        found = [json.loads(line)["messages"] for line in out.splitlines() if line]
        assert [(asked["content"], said["content"]) for asked, said in found] == pairs


def test_a_record_that_does_not_end_is_not_gathered() -> None:
    more = b'y",x,"\n' * 100_000
    conversion = Conversion()
    assert conversion.feed(b'input,output\nx,"' + more) == b""
    with pytest.raises(InvalidFile) as refused:
        conversion.feed(more)
    [problem] = refused.value.problems
    assert str(problem) == (
        'line 2: begins a record longer than 1 MiB; is there a quote (") too many?'
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_large_dataset_takes_little_memory(kind: str) -> None:
    text = "Please think. " * 60
    if kind == "csv":
        head, row = b"input,output\n", f'"{text}\n",It is one more.\n'.encode()
    else:
        head, row = b"", json.dumps({"input": text, "output": "It is one more."}).encode() + b"\n"
    block = row * (2**20 // len(row))
    conversion = Conversion()
    conversion.feed(head + block)
    n_rows = n_bytes = 0
    tracemalloc.start()
    try:
        for _ in range(24):
            # Cut in the middle of rows, as blocks are.
            for part in (block[:-333], block[-333:]):
                n_rows += conversion.feed(part).count(b"\n")
                n_bytes += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_rows == 24 * block.count(b"It is one more.")
    assert peak < n_bytes / 3, "bytes"
