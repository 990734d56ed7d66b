"""What Scale's door refuses: the exact status and body, and nothing half-made is left behind."""

# A case is a line, so that one can be told from the next.
# ruff: noqa: E501

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World

JOBS = "/v4/fine-tuning-jobs"
DATASETS = "/v4/training-datasets"
HYPER = ("vendor_configuration", "hyperparameters")
PEFT = (*HYPER, "peft_config")
KNOWN = (
    "n_epochs, epochs, batch_size, learning_rate_multiplier, lr, warmup_ratio, weight_decay, "
    "peft_config"
)
BASES = "Base models here: tiny-chat, org/model."
SUFFIX = 'must have 1 to 64 printable characters, none of them ":" or "/"'
REPRESENTATION = (
    "file holds Python's name for a file or for bytes, not their text: this client sends `file` "
    'as text, so pass what the file holds, such as Path("rows.csv").read_text()'
)
NAMES = '"prompt" and "response", or "input" and "output"'
EMPTY = "the file is empty: it has no rows"
TINY = {"model": "tiny-chat", "prompt": "x"}


def fault(loc: tuple[str | int, ...], msg: str, type: str = "invalid_value") -> dict[str, Any]:
    return {"loc": list(loc), "msg": msg, "type": type}


@pytest.fixture(autouse=True)
def nothing_is_left(http: TestClient, world: World) -> Iterator[None]:
    """Whatever is refused leaves no job, no dataset, and no byte on the disk."""
    yield
    assert http.get(JOBS).json()["total_item_count"] == 0
    assert world.store.claim("worker", 30) is None
    # `World.file` puts these there, without bytes.
    assert {item["name"] for item in http.get(DATASETS).json()["items"]} <= {"rows.jsonl"}
    files = world.services.files._blobs.path("files")
    assert not files.exists() or not list(files.iterdir())


def configured(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"vendor_configuration": fields}


def asked(**settings: Any) -> dict[str, Any]:  # noqa: ANN401
    return configured(hyperparameters=settings)


@pytest.mark.parametrize(
    ("body", "place", "message", "kind"),
    [
        ({"training_dataset_id": None}, ("training_dataset_id",), "Input should be a valid string", "string_type"),
        ({"training_dataset_id": ""}, ("training_dataset_id",), "String should have at least 1 character", "string_too_short"),
        ({"training_dataset_id": "\0"}, ("training_dataset_id",), "Value error, must not hold the character U+0000", "value_error"),
        ({"training_dataset_id": "file-nope"}, ("training_dataset_id",), "There is no file 'file-nope'; upload it first.", "invalid_value"),
        ({"validation_dataset_id": "file-nope"}, ("validation_dataset_id",), "There is no file 'file-nope'; upload it first.", "invalid_value"),
        ({"validation_dataset_id": 7}, ("validation_dataset_id",), "Input should be a valid string", "string_type"),
        ({"base_model_id": "nope"}, ("base_model_id",), f"There is no base model 'nope'. {BASES}", "model_not_found"),
        ({"base_model_id": "ft:nope"}, ("base_model_id",), "There is no model 'ft:nope'.", "model_not_found"),
        ({"base_model_id": ""}, ("base_model_id",), "String should have at least 1 character", "string_too_short"),
        ({"fine_tuned_model_id": "m"}, ("fine_tuned_model_id",), "A job cannot write into a model that is there: leave fine_tuned_model_id out. To go on from a tuned model, name it as base_model_id; the job makes a new one.", "invalid_value"),
        ({"account_id": 7}, ("account_id",), "Input should be a valid string", "string_type"),
        ({"vendor_configuration": []}, ("vendor_configuration",), "Input should be a valid dictionary or object to extract fields from", "model_attributes_type"),
        (configured(vendor="COHERE"), ("vendor_configuration", "vendor"), "Input should be 'LAUNCH', 'LLMENGINE' or 'OPENAI'", "literal_error"),
        (configured(vendor=None), ("vendor_configuration", "vendor"), "Input should be 'LAUNCH', 'LLMENGINE' or 'OPENAI'", "literal_error"),
        (configured(suffix=""), ("vendor_configuration", "suffix"), f"Value error, '' {SUFFIX}", "value_error"),
        (configured(suffix="a:b"), ("vendor_configuration", "suffix"), f"Value error, 'a:b' {SUFFIX}", "value_error"),
        (configured(output="x" * 1025), ("vendor_configuration", "output"), "String should have at most 1024 characters", "string_too_long"),
        (configured(vendor="OPENAI", output="x"), ("vendor_configuration", "output"), "output belongs to LAUNCH and LLMENGINE; OPENAI has none", "invalid_value"),
        (configured(vendor="OPENAI", wandb_config={}), ("vendor_configuration", "wandb_config"), "wandb_config belongs to LAUNCH and LLMENGINE; OPENAI has none", "invalid_value"),
        (configured(hyper_parameters={}), ("vendor_configuration", "hyper_parameters"), "Extra inputs are not permitted", "extra_forbidden"),
        (configured(wandb_config="x"), ("vendor_configuration", "wandb_config"), "Input should be a valid dictionary", "dict_type"),
        (configured(wandb_config={"x": "y" * 20_000}), ("vendor_configuration", "wandb_config"), "Value error, takes 20008 bytes of JSON; 16384 are allowed", "value_error"),
        (configured(hyperparameters=[1]), HYPER, "Input should be a valid dictionary", "dict_type"),
        (asked(n_epochs=0), (*HYPER, "n_epochs"), 'n_epochs is 0; it must be "auto" or from 1 to 50', "invalid_value"),
        (asked(epochs="51"), (*HYPER, "epochs"), 'epochs is 51; it must be "auto" or from 1 to 50', "invalid_value"),
        (asked(epochs="three"), (*HYPER, "epochs"), "epochs is 'three'; it must be a whole number or \"auto\"", "invalid_value"),
        (asked(epochs=1.5), (*HYPER, "epochs"), 'epochs is 1.5; it must be a whole number or "auto"', "invalid_value"),
        (asked(epochs=True), (*HYPER, "epochs"), 'epochs is True; it must be a whole number or "auto"', "invalid_value"),
        (asked(epochs=[1]), (*HYPER, "epochs"), 'epochs is [1]; it must be a whole number or "auto"', "invalid_value"),
        (asked(n_epochs=2, epochs=3), (*HYPER, "epochs"), "epochs is 3 and n_epochs is 2; they are two names of one thing", "invalid_value"),
        (asked(batch_size=257), (*HYPER, "batch_size"), 'batch_size is 257; it must be "auto" or from 1 to 256', "invalid_value"),
        (asked(lr=0), (*HYPER, "lr"), 'lr is 0.0; it must be "auto" or above 0', "invalid_value"),
        (asked(lr="1e999"), (*HYPER, "lr"), "lr is '1e999'; it must be a number or \"auto\"", "invalid_value"),
        (asked(lr="nan"), (*HYPER, "lr"), "lr is 'nan'; it must be a number or \"auto\"", "invalid_value"),
        (asked(learning_rate_multiplier=-1), (*HYPER, "learning_rate_multiplier"), 'learning_rate_multiplier is -1.0; it must be "auto" or above 0', "invalid_value"),
        (asked(warmup_ratio=1.1), (*HYPER, "warmup_ratio"), 'warmup_ratio is 1.1; it must be "auto" or from 0 to 1', "invalid_value"),
        (asked(weight_decay="-0.1"), (*HYPER, "weight_decay"), 'weight_decay is -0.1; it must be "auto" or from 0 to 1', "invalid_value"),
        (asked(report_to="wandb"), (*HYPER, "report_to"), f"There is no hyperparameter 'report_to'; there are {KNOWN}", "invalid_value"),
        (asked(peft_config="x"), PEFT, "peft_config is 'x'; it must be an object", "invalid_value"),
        (asked(peft_config={"r": 0}), (*PEFT, "r"), "r is 0; it must be from 1 to 512", "invalid_value"),
        (asked(peft_config={"r": "x"}), (*PEFT, "r"), "r is 'x'; it must be a whole number", "invalid_value"),
        (asked(peft_config={"lora_alpha": 0}), (*PEFT, "lora_alpha"), "lora_alpha is 0.0; it must be above 0", "invalid_value"),
        (asked(peft_config={"lora_dropout": 1}), (*PEFT, "lora_dropout"), "lora_dropout is 1.0; it must be at least 0 and below 1", "invalid_value"),
        (asked(peft_config={"target_modules": "q"}), (*PEFT, "target_modules"), "target_modules is 'q'; it must be \"all-linear\" or a list of up to 256 names", "invalid_value"),
        (asked(peft_config={"target_modules": []}), (*PEFT, "target_modules"), 'target_modules is empty; name at least one module, or say "all-linear"', "invalid_value"),
        (asked(peft_config={"bias": "all"}), (*PEFT, "bias"), "bias is 'all'; it can only be 'none'", "invalid_value"),
        (asked(peft_config={"rank": 8}), (*PEFT, "rank"), "peft_config has no 'rank'; it takes r, lora_alpha, lora_dropout, target_modules, bias, peft_type, task_type", "invalid_value"),
    ],
)  # fmt: skip
def test_a_job_that_cannot_be(
    http: TestClient,
    world: World,
    body: dict[str, Any],
    place: tuple[str, ...],
    message: str,
    kind: str,
) -> None:
    refused = http.post(JOBS, json={"training_dataset_id": world.file(), **body})
    assert refused.status_code == 422
    assert refused.json() == {"detail": [fault(("body", *place), message, kind)]}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ('{"training_dataset_id": "%s", "account_id": "nowhere"}', 404, "There is no account 'nowhere'; this key's account is 'ours'."),
        ('{"training_dataset_id": "%s", ', 422, [fault(("body", 57), "JSON decode error", "json_invalid")]),
        ("[]", 422, [fault(("body",), "Input should be a valid dictionary or object to extract fields from", "model_attributes_type")]),
        ('{"validation_dataset_id": "%s"}', 422, [fault(("body", "training_dataset_id"), "Field required", "missing")]),
        (
            '{"training_dataset_id": "%s", "vendor_configuration": {"wandb_config": {"x": NaN}}}',
            422,
            [fault(("body", "vendor_configuration", "wandb_config"), "Value error, holds a number that JSON has no word for", "value_error")],
        ),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be(
    http: TestClient, world: World, body: str, status: int, detail: object
) -> None:
    text = body.replace("%s", world.file())
    refused = http.post(JOBS, content=text, headers={"content-type": "application/json"})
    assert refused.status_code == status
    assert refused.json() == {"detail": detail}


def test_half_characters_are_named_where_they_stand(http: TestClient, world: World) -> None:
    for field in ("suffix", "output"):
        body = '{"training_dataset_id": "%s", "vendor_configuration": {"%s": "\\ud83d"}}'
        text = body % (world.file(), field)
        refused = http.post(JOBS, content=text, headers={"content-type": "application/json"})
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", "vendor_configuration", field]


def test_a_job_on_the_wrong_files(http: TestClient, world: World) -> None:
    few, other, good = world.file(n_rows=7), world.file(purpose="user_data"), world.file()
    for body, name, message, kind in (
        ({"training_dataset_id": few}, "training_dataset_id", "Training file has 7 example(s), but must have at least 10 examples", "invalid_n_examples"),
        ({"training_dataset_id": other}, "training_dataset_id", f'File {other} has purpose "user_data"; it must be "fine-tune".', "invalid_value"),
        ({"training_dataset_id": good, "validation_dataset_id": good}, "validation_dataset_id", "validation_dataset_id is the training file; a validation set must be another one, or its loss says nothing", "invalid_value"),
    ):  # fmt: skip
        refused = http.post(JOBS, json=body)
        assert refused.status_code == 422
        assert refused.json() == {"detail": [fault(("body", name), message, kind)]}


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", f"{JOBS}?page=0", 422, [fault(("query", "page"), "Input should be greater than or equal to 1", "greater_than_equal")]),
        ("GET", f"{JOBS}?limit=0", 422, [fault(("query", "limit"), "Input should be greater than or equal to 1", "greater_than_equal")]),
        ("GET", f"{JOBS}?limit=10001", 422, [fault(("query", "limit"), "Input should be less than or equal to 10000", "less_than_equal")]),
        ("GET", f"{DATASETS}?page=x", 422, [fault(("query", "page"), "Input should be a valid integer, unable to parse string as an integer", "int_parsing")]),
        ("GET", f"{JOBS}/nope", 404, "There is no fine-tuning job 'nope'."),
        ("DELETE", f"{JOBS}/nope", 404, "There is no fine-tuning job 'nope'."),
        ("GET", f"{JOBS}/nope/events", 404, "There is no fine-tuning job 'nope'."),
        ("GET", f"{DATASETS}/nope", 404, "There is no training dataset 'nope'."),
        ("DELETE", f"{DATASETS}/nope", 404, "There is no training dataset 'nope'."),
        ("GET", f"{DATASETS}/nope/contents", 404, "There is no training dataset 'nope'."),
        ("GET", "/v4/models/nope", 404, f"There is no base model 'nope'. {BASES}"),
        ("GET", "/v4/models/ft:nope/deployments", 404, "There is no model 'ft:nope'."),
        ("GET", "/v4/models/tiny-chat/deployments/nope", 404, "There is no deployment 'nope'."),
        ("GET", "/v4/model-deployments?sort_by=zzz:asc", 422, [fault(("query", "sort_by"), "sort_by is 'zzz:asc'; it must be one of id, name, created_at, account_id, created_by_user_id, created_by_identity_type, status, model_instance_id, with :asc or :desc behind it")]),
        ("GET", "/v4/models?view=Nope", 422, [fault(("query", "view"), "view is 'Nope'; there are Deployments and ModelGroup")]),
        ("PUT", JOBS, 405, "Method Not Allowed"),
        ("PATCH", "/v4/models/tiny-chat", 405, "Method Not Allowed"),
        ("POST", "/v4/model-groups", 404, "Not Found"),
    ],
)  # fmt: skip
def test_a_read_that_cannot_be(
    http: TestClient, method: str, path: str, status: int, detail: object
) -> None:
    refused = http.request(method, path)
    assert (refused.status_code, refused.json()) == (status, {"detail": detail})


def cannot(name: str, value: str, *place: str) -> list[dict[str, Any]]:
    message = f"{name} is {value}, which cannot be done here; leave it out"
    return [fault(("body", *place, name), message, "unsupported")]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("models/{}/completions", {}, 422, [fault(("body", "prompt"), "Field required", "missing")]),
        ("models/{}/completions", {"prompt": ""}, 422, [fault(("body", "prompt"), "prompt must have at least one character")]),
        ("models/{}/completions", {"prompt": "x", "frequency_penalty": 1}, 422, cannot("frequency_penalty", "1.0")),
        ("models/{}/completions", {"prompt": "x", "presence_penalty": -0.5}, 422, cannot("presence_penalty", "-0.5")),
        ("models/{}/completions", {"prompt": "x", "top_k": 5}, 422, cannot("top_k", "5.0")),
        ("models/{}/completions", {"prompt": "x", "reasoning_effort": "low"}, 422, cannot("reasoning_effort", "'low'")),
        ("models/{}/completions", {"prompt": "x", "chat_template": "t"}, 422, cannot("chat_template", "'t'")),
        ("models/{}/completions", {"prompt": "x", "chat_template_kwargs": {"a": 1}}, 422, cannot("chat_template_kwargs", "{'a': 1}")),
        ("models/{}/completions", {"prompt": "x", "model_request_parameters": {"bindings": {"a": 1}}}, 422, cannot("model_request_parameters", "{'bindings': {'a': 1}}")),
        ("models/{}/completions", {"prompt": "x", "model_request_parameters": {"seed": 1}}, 422, cannot("model_request_parameters", "{'seed': 1}")),
        ("models/{}/completions", {"prompt": "x", "model_request_parameters": {"bindings": {}, "seed": 1}}, 422, cannot("model_request_parameters", "{'bindings': {}, 'seed': 1}")),
        ("models/{}/completions", {"prompt": "x", "temperature": 3}, 422, [fault(("body", "temperature"), "Input should be less than or equal to 2", "less_than_equal")]),
        ("models/{}/completions", {"prompt": "x", "top_logprobs": 3}, 422, [fault(("body", "top_logprobs"), "top_logprobs needs logprobs to be true")]),
        ("models/{}/completions", {"prompt": "x", "stop_sequences": list("abcde")}, 422, [fault(("body", "stop_sequences"), "List should have at most 4 items after validation, not 5", "too_long")]),
        ("models/{}/chat-completions", {"prompt": "x"}, 422, [fault(("body", "chat_history"), "Field required", "missing")]),
        ("models/{}/chat-completions", {"prompt": "x", "chat_history": [{"role": "human", "content": "x"}]}, 422, [fault(("body", "chat_history"), 'chat_history[0].role "human": did you mean "user"?')]),
        ("models/dpl_nope/completions", {"prompt": "x"}, 404, "There is no deployment 'dpl_nope'."),
        ("models/org/model/deployments/{}/execute", {"prompt": "x"}, 404, "There is no deployment '{}'."),
        ("models/{}/embeddings", {}, 405, "Method Not Allowed"),
        ("completions", {**TINY, "model": "nope"}, 404, f"There is no base model 'nope'. {BASES}"),
        ("completions", {**TINY, "account_id": "x"}, 404, "There is no account 'x'; this key's account is 'ours'."),
        ("completions", {**TINY, "images": [1]}, 422, [fault(("body", "images"), "images are not read: models here know text alone")]),
        ("completions", {**TINY, "model_parameters": {"topK": 3}}, 422, cannot("topK", "3.0", "model_parameters")),
        ("chat-completions", {"model": "tiny-chat", "messages": []}, 422, [fault(("body", "messages"), "List should have at least 1 item after validation, not 0", "too_short")]),
        ("chat-completions", {"model": "tiny-chat", "messages": [{"role": "user"}]}, 422, [fault(("body", "messages"), "messages[0].content is missing")]),
        ("models/tiny-chat/deployments", {}, 422, [fault(("body", "name"), "Field required", "missing")]),
        ("models/tiny-chat/deployments", {"name": "d", "vendor_configuration": {"min_workers": 1}}, 422, [fault(("body", "vendor_configuration"), "vendor_configuration chooses machines and workers, which a deployment here has none of; leave it out")]),
        ("models/nope/deployments", {"name": "d"}, 404, f"There is no base model 'nope'. {BASES}"),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be(
    http: TestClient, world: World, path: str, body: dict[str, Any], status: int, detail: object
) -> None:
    made = http.post("/v4/models/tiny-chat/deployments", json={"name": "d"}).json()["id"]
    n_before = world.store.deployments.count("ours")
    refused = http.post("/v4/" + path.replace("{}", made), json=body)
    want = detail.replace("{}", made) if isinstance(detail, str) else detail
    assert (refused.status_code, refused.json()) == (status, {"detail": want})
    assert world.store.deployments.count("ours") == n_before
    assert world.generator.asked == []


def lines(*problems: tuple[int, str]) -> list[dict[str, Any]]:
    return [
        fault(("body", "file", line), f"line {line}: {message}", "invalid_file")
        for line, message in problems
    ]


GOOD = "input,output\nHi,Ho\n"
TOO_LARGE = "The file is larger than 1000000 bytes, which is this server's limit."


@pytest.mark.parametrize(
    ("text", "form", "status", "detail"),
    [
        ("", {}, 422, [fault(("body", "file"), EMPTY, "invalid_file")]),
        ("\n \n", {}, 422, [fault(("body", "file"), EMPTY, "invalid_file")]),
        ("input,output\n", {}, 422, [fault(("body", "file"), EMPTY, "invalid_file")]),
        ("\ufeff", {}, 422, [fault(("body", "file"), EMPTY, "invalid_file")]),
        ("a,b\n1,2\n", {}, 422, lines((1, f'the header has the columns "a", "b"; it must have {NAMES}'))),
        ("input;output\n1;2\n", {}, 422, lines((1, f'the header has the columns "input;output"; it must have {NAMES}; separate columns by commas'))),
        ("input,output,output\n1,2,3\n", {}, 422, lines((1, "the header has 2 columns 'output'"))),
        ("a," * 5000 + "\n", {}, 422, lines((1, "the header has the columns " + ", ".join(['"a"'] * 10) + f" and 4991 more; it must have {NAMES}"))),
        ("input,output\n1\n\n1,2,3\n4,\n", {}, 422, lines((2, "has 1 column, and the header has 2"), (4, "has 3 columns, and the header has 2"), (5, "output is empty: nothing to learn here"))),
        ('input,output\n"1\n1",2\n1,"2\n', {}, 422, lines((4, 'begins a value in quotes (") that never ends'))),
        ('input,output\n1,"2"3\n', {}, 422, lines((2, "not CSV: ',' expected after '\"'"))),
        ("input,output\n1,2\0\n", {}, 422, lines((2, "holds the character U+0000"))),
        (b"input,output\n1,\xff\n", {}, 422, lines((2, "not UTF-8: byte 3 (0xFF) begins no character; save the file as UTF-8"))),
        ("input,output\r1,2\r", {}, 422, lines((1, "holds a carriage return without a line feed; end lines with LF or CRLF"))),
        ("input,output\n1," + "x" * 200_000 + "\n", {}, 422, lines((2, "has a value longer than 131,072 characters"))),
        ("\x1f\x8b....", {}, 422, lines((1, f'the header has the columns "\\u001f\\u008b...."; it must have {NAMES}'))),
        ("<_io.BufferedReader name='x.csv'>", {}, 422, [fault(("body", "file"), REPRESENTATION)]),
        ("b'input,output\\n'", {}, 422, [fault(("body", "file"), REPRESENTATION)]),
        ("[{}]", {}, 422, [fault(("body", "file"), "file is a JSON array; write each of its objects on its own line")]),
        (
            '{"input": 1, "output": "x"}\n{"input": "x"}\n{"input": "x", "output": ""}\n[1]\n{"a": 1, "a": 2}\n',
            {},
            422,
            lines(
                (1, "input must be a string, not a number"),
                (2, 'has neither "prompt" and "response" nor "input" and "output"'),
                (3, "output is empty: nothing to learn here"),
                (4, "not an object but an array; a row is one JSON object on one line"),
                (5, 'the key "a" stands twice in one object; which one counts?'),
            ),
        ),
        ('{"messages": []}\n', {}, 422, lines((1, "messages is empty: there is nothing to learn here"))),
        ('{"prompt": "x", "completion": 1}\n', {}, 422, lines((1, "completion must be a string, not a number"))),
        ('{"input": "\0", "output": "x"}\n', {}, 422, lines((1, "not JSON: Invalid control character at column 12"))),
        ("{" * 3000, {}, 422, lines((1, "not JSON: Expecting property name enclosed in double quotes at column 2"))),
        ("input,output\n" + "x,y\n" * 300_000, {}, 413, TOO_LARGE),
        ('input,output,more\nx,y,"' + "z" * 1_100_000, {}, 413, TOO_LARGE),
        (GOOD, {"schema_type": "RERANKING_QUESTIONS"}, 422, [fault(("body", "schema_type"), "schema_type is 'RERANKING_QUESTIONS'; only GENERATION is trained on")]),
        (GOOD, {"schema_type": None}, 422, [fault(("body", "schema_type"), "Field required", "missing")]),
        (GOOD, {"name": None}, 422, [fault(("body", "name"), "Field required", "missing")]),
        (GOOD, {"name": ""}, 422, [fault(("body", "name"), "name must have 1 to 255 printable characters")]),
        (GOOD, {"name": "a\nb"}, 422, [fault(("body", "name"), "name must have 1 to 255 printable characters")]),
        (GOOD, {"account_id": "theirs"}, 404, "There is no account 'theirs'; this key's account is 'ours'."),
    ],
)  # fmt: skip
def test_a_dataset_that_cannot_be(
    http: TestClient, text: str | bytes, form: dict[str, str | None], status: int, detail: object
) -> None:
    fields = {"name": "faq", "schema_type": "GENERATION", **form}
    parts = {name: (None, value) for name, value in fields.items() if value is not None}
    refused = http.post(DATASETS, files={"file": (None, text), **parts})
    assert refused.status_code == status
    assert refused.json() == {"detail": detail}


def test_a_record_that_never_ends_is_not_gathered(http: TestClient, world: World) -> None:
    world.services.files._max_file_bytes = 2**30
    text = 'input,output\nx,"' + ("y" * 1000 + "\n") * 3000
    refused = http.post(DATASETS, files={"file": (None, text), "name": (None, "n")})
    assert refused.status_code == 422
    assert refused.json() == {"detail": lines((2, "has a value longer than 131,072 characters"))}


def test_a_form_that_is_none(http: TestClient) -> None:
    refused = http.post(DATASETS, content=json.dumps({"name": "faq"}))
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "file"]
    refused = http.post(DATASETS, files={"name": (None, "faq")})
    missing = fault(
        ("body", "file"), "Missing required parameter: 'file'.", "missing_required_parameter"
    )
    assert (refused.status_code, refused.json()) == (422, {"detail": [missing]})
    whole = http.build_request("POST", DATASETS, files={"file": (None, GOOD)})
    cut = http.post(DATASETS, content=whole.read()[:-20], headers=whole.headers)
    assert cut.status_code == 422
