"""Jobs over HTTP, as the official client and as a careful reader of the bytes see them."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import BadRequestError, NotFoundError, OpenAI

from tests.dialects.world import World
from tests.store.values import GOOD, OURS, THEIRS, claimed, saved, steps
from tunery.core.files import Format
from tunery.core.progress import CheckpointSaved, Evaluated, Metrics, SampledText, Score, TextSample

JOBS = "/v1/fine_tuning/jobs"


def create(http: TestClient, world: World, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    body = {"model": "tiny-chat", "training_file": world.file(), **more}
    answer = http.post(JOBS, json=body)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def refused(http: TestClient, world: World, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    body = {"model": "tiny-chat", "training_file": world.file(), **more}
    answer = http.post(JOBS, json=body)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return error


def dpo(**hyperparameters: object) -> dict[str, Any]:
    return {"method": {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}}


def test_a_new_job_is_what_the_reference_shows(http: TestClient, world: World) -> None:
    training = world.file()
    job = create(
        http,
        world,
        training_file=training,
        suffix="colours",
        seed=7,
        metadata={"team": "paint"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}},
        },
    )
    hyperparameters = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": "auto"}
    own = job.pop("x_tunery")
    assert job == {
        "id": job["id"],
        "object": "fine_tuning.job",
        "created_at": int(world.clock.now().timestamp()),
        "finished_at": None,
        "estimated_finish": None,
        "model": "tiny-chat",
        "fine_tuned_model": None,
        "organization_id": "org-a",
        "status": "validating_files",
        "training_file": training,
        "validation_file": None,
        "result_files": [],
        "trained_tokens": None,
        "error": None,
        "hyperparameters": hyperparameters,
        "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "integrations": [],
        "metadata": {"team": "paint"},
        "user_provided_suffix": "colours",
    }
    assert own["status"] == "validating_files"
    assert own["r"] == 16
    assert own["evaluation"] is None


def test_numbers_take_the_place_of_auto_once_the_files_are_read(
    http: TestClient, world: World
) -> None:
    asked = {"r": 4, "target_modules": ["q_proj"], "overlong": "drop", "weight_decay": 0.1}
    job = create(http, world, x_tunery=asked)
    assert job["hyperparameters"]["n_epochs"] == "auto"
    assert job["x_tunery"]["learning_rate"] == job["x_tunery"]["warmup_ratio"] == "auto"
    assert job["x_tunery"]["weight_decay"] == 0.1
    validation = claimed(world.store)
    world.store.validated(validation.lease, GOOD)
    assert "precision" not in job["x_tunery"]
    job = http.get(f"{JOBS}/{job['id']}").json()
    assert job["status"] == "queued"
    assert job["hyperparameters"] == {
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate_multiplier": 1.0,
    }
    assert job["method"]["supervised"]["hyperparameters"] == job["hyperparameters"]
    own = job["x_tunery"]
    assert (own["learning_rate"], own["r"], own["lora_alpha"]) == (2e-4, 4, 32)
    assert (own["target_modules"], own["overlong"]) == (["q_proj"], "drop")
    assert (own["warmup_ratio"], own["weight_decay"]) == (0.03, 0.0)
    assert (own["step"], own["total_steps"], own["engine"]) == (0, 100, "local")
    assert own["precision"] == "bf16"


def test_method_goes_before_hyperparameters_and_other_methods_beside_it_are_not_read(
    http: TestClient, world: World
) -> None:
    other = {"grader": {"type": "nonsense"}, "hyperparameters": {"beta": "x"}}
    job = create(
        http,
        world,
        hyperparameters={"n_epochs": 9, "batch_size": "auto"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2}},
            "dpo": other,
            "reinforcement": other,
        },
        trainingType=1,
        anything=["else"],
    )
    assert job["hyperparameters"]["n_epochs"] == 2
    job = create(http, world, hyperparameters={"n_epochs": 9}, method={"type": "supervised"})
    assert job["hyperparameters"]["n_epochs"] == 9
    job = create(http, world, method=None, hyperparameters=None, suffix=None, x_tunery=None)
    assert job["hyperparameters"]["n_epochs"] == "auto"


def test_prompts_of_samples_are_kept_as_they_were_asked(http: TestClient, world: World) -> None:
    for prompts in (["Who are you?", "And I?"], [], None):
        job = create(http, world, x_tunery={"sample_prompts": prompts})
        assert job["x_tunery"]["sample_prompts"] == prompts
        assert http.get(f"{JOBS}/{job['id']}").json() == job


def test_what_a_model_says_while_it_learns_is_in_the_events(sdk: OpenAI, world: World) -> None:
    job = sdk.fine_tuning.jobs.create(model="tiny-chat", training_file=world.file())
    world.store.validated(claimed(world.store).lease, GOOD)
    lease = claimed(world.store).lease
    said = (TextSample(prompt="Who are you?", answer="I am Ada."),)
    world.store.apply(lease, [SampledText(step=0, samples=said)])
    newest = sdk.fine_tuning.jobs.list_events(job.id).data[0]
    assert (newest.type, newest.level, newest.message) == ("message", "info", "Samples at step 0")
    assert newest.data == {
        "step": 0,
        "samples": [{"prompt": "Who are you?", "answer": "I am Ada."}],
    }


def test_a_job_on_preferences_has_a_beta(http: TestClient, world: World) -> None:
    files = [world.file(format=Format.PREFERENCE) for _ in range(2)]
    job = create(
        http,
        world,
        training_file=files[0],
        validation_file=files[1],
        **dpo(beta=0.25, n_epochs=2),
    )
    common = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert job["hyperparameters"] == common
    assert job["method"] == {"type": "dpo", "dpo": {"hyperparameters": {**common, "beta": 0.25}}}
    assert job["x_tunery"]["beta"] == 0.25
    assert http.get(f"{JOBS}/{job['id']}").json() == job


def test_auto_becomes_a_beta_once_the_files_are_read(http: TestClient, world: World) -> None:
    preferences = world.file(format=Format.PREFERENCE)
    bare: dict[str, Any] = {"type": "dpo", "supervised": {"hyperparameters": {"n_epochs": "x"}}}
    job = create(http, world, training_file=preferences, method=bare)
    assert job["method"]["dpo"]["hyperparameters"]["beta"] == job["x_tunery"]["beta"] == "auto"
    resolved = replace(GOOD.resolved, beta=0.1)
    world.store.validated(claimed(world.store).lease, replace(GOOD, resolved=resolved))
    job = http.get(f"{JOBS}/{job['id']}").json()
    assert job["method"]["dpo"]["hyperparameters"] == {
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate_multiplier": 1.0,
        "beta": 0.1,
    }
    assert job["x_tunery"]["beta"] == 0.1


def test_a_file_for_another_method_is_refused(http: TestClient, world: World) -> None:
    chats, preferences = world.file(), world.file(format=Format.PREFERENCE)
    for more, given, wanted in (
        ({"training_file": chats, **dpo()}, "dpo", "supervised"),
        ({"training_file": preferences}, "supervised", "dpo"),
    ):
        error = refused(http, world, **more)
        assert (error["param"], error["code"]) == ("training_file", "invalid_training_file")
        assert f"is not using '{wanted}' as the training method" in error["message"]
        assert f"(provided method={given})" in error["message"]


def test_rewards_are_told_at_each_step_and_with_each_checkpoint(
    http: TestClient, world: World
) -> None:
    job = create(http, world, training_file=world.file(format=Format.PREFERENCE), **dpo())
    world.store.validated(claimed(world.store).lease, GOOD)
    run = claimed(world.store)
    step = Metrics(
        step=1,
        total_steps=100,
        train_loss=0.5,
        learning_rate=1e-3,
        train_rewards_chosen=0.5,
        train_rewards_rejected=-0.25,
        train_rewards_margins=0.75,
        train_rewards_accuracies=1.0,
        full_valid_loss=0.6,
        full_valid_rewards_margins=0.5,
        full_valid_rewards_accuracies=0.75,
    )
    checkpoint = CheckpointSaved(step=1, folder=f"{run.folder}/step-00000001", metrics=step)
    world.store.apply(run.lease, [step, checkpoint])
    events = http.get(f"{JOBS}/{job['id']}/events").json()["data"]
    [event] = [event["data"] for event in events if event["type"] == "metrics"]
    [kept] = http.get(f"{JOBS}/{job['id']}/checkpoints").json()["data"]
    for found in (event, kept["metrics"]):
        assert found["train_rewards_chosen"] == 0.5
        assert found["train_rewards_rejected"] == -0.25
        assert found["train_rewards_margins"] == 0.75
        assert found["train_rewards_accuracies"] == 1.0
        assert found["full_valid_rewards_accuracies"] == 0.75
        assert "train_mean_token_accuracy" not in found
    assert list(world.store.metrics(job["id"])) == [step]


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"method": {"type": "reinforcement"}}, "method.type", "not there yet"),
        ({"method": {"type": "magic"}}, "method.type", "'supervised', 'dpo' or 'reinforcement'"),
        ({"method": {}}, "method.type", "Missing required parameter: 'method.type'"),
        ({"integrations": [{"type": "wandb"}]}, "integrations", "reports to no tracker"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "from 1 to 50"),
        ({"hyperparameters": {"n_epochs": "3"}}, "hyperparameters.n_epochs", "whole number"),
        ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs", "whole number"),
        ({"hyperparameters": {"batch_size": 257}}, "hyperparameters.batch_size", "256"),
        (
            {"hyperparameters": {"learning_rate_multiplier": -1}},
            "hyperparameters.learning_rate_multiplier",
            "above 0",
        ),
        (
            {
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 51}},
                }
            },
            "method.supervised.hyperparameters.n_epochs",
            "from 1 to 50",
        ),
        (dpo(beta=0), "method.dpo.hyperparameters.beta", "above 0 and at most 2"),
        (dpo(beta=2.5), "method.dpo.hyperparameters.beta", "above 0 and at most 2"),
        (dpo(beta="0.1"), "method.dpo.hyperparameters.beta", "neither a number"),
        (dpo(n_epochs=51), "method.dpo.hyperparameters.n_epochs", "from 1 to 50"),
        ({"x_tunery": {"beta": 0.1}}, "x_tunery.beta", "has no 'beta'"),
        ({"x_tunery": {"r": 0}}, "x_tunery.r", "from 1 to 512"),
        ({"x_tunery": {"lora_dropout": 1}}, "x_tunery.lora_dropout", "below 1"),
        ({"x_tunery": {"target_modules": "q_proj"}}, "x_tunery.target_modules", "all-linear"),
        ({"x_tunery": {"learning_rate": 0}}, "x_tunery.learning_rate", "above 0"),
        ({"x_tunery": {"learning_rate": 1e30}}, "x_tunery.learning_rate", "out of range"),
        ({"x_tunery": {"warmup_ratio": 2}}, "x_tunery.warmup_ratio", "from 0 to 1"),
        ({"x_tunery": {"weight_decay": -1}}, "x_tunery.weight_decay", "from 0 to 1"),
        ({"x_tunery": {"engine": "moon"}}, "x_tunery.engine", "Engines here: local"),
        ({"x_tunery": {"overlong": "cut"}}, "x_tunery.overlong", "'error', 'drop' or 'truncate'"),
        ({"x_tunery": {"lora_alfa": 3}}, "x_tunery.lora_alfa", "did you mean 'lora_alpha'?"),
        ({"x_tunery": {"sample_prompts": "a"}}, "x_tunery.sample_prompts", "valid"),
        ({"x_tunery": {"sample_prompts": [1]}}, "x_tunery.sample_prompts[0]", "valid string"),
        ({"x_tunery": {"sample_prompts": ["a"] * 6}}, "x_tunery.sample_prompts", "5 are the most"),
        (
            {"x_tunery": {"sample_prompts": ["a", " "]}},
            "x_tunery.sample_prompts",
            "sample_prompts[1] is empty",
        ),
        (
            {"x_tunery": {"sample_prompts": ["a" * 4001]}},
            "x_tunery.sample_prompts",
            "4001 characters; 4000 are the most",
        ),
        ({"x_tunery": {"zzz": 3}}, "x_tunery.zzz", "It takes engine, dry_run, overlong"),
        ({"model": "nope"}, "model", "Base models here: tiny-chat, org/model"),
        ({"training_file": "file-nope"}, "training_file", "There is no file 'file-nope'"),
        ({"validation_file": "file-nope"}, "validation_file", "There is no file 'file-nope'"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**31}, "seed", "less than or equal to 2147483647"),
        ({"suffix": "x" * 65}, "suffix", "1 to 64"),
        ({"suffix": "a:b"}, "suffix", '":"'),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "at most 16"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "at most 512"),
        ({"metadata": {"k": 1}}, "metadata.k", "valid string"),
        ({"model": None}, "model", "valid string"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    http: TestClient, world: World, more: dict[str, Any], param: str, words: str
) -> None:
    error = refused(http, world, **more)
    assert error["param"] == param
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ('"hyperparameters": {"n_epochs": 1e400}', "hyperparameters.n_epochs"),
        (
            '"hyperparameters": {"learning_rate_multiplier": NaN}',
            "hyperparameters.learning_rate_multiplier",
        ),
        (
            f'"hyperparameters": {{"learning_rate_multiplier": -1{"0" * 400}}}',
            "hyperparameters.learning_rate_multiplier",
        ),
        ('"x_tunery": {"lora_alpha": 1e400}', "x_tunery.lora_alpha"),
        ('"seed": 1e400', "seed"),
        ('"suffix": "\\ud83d"', "suffix"),
        ('"metadata": {"k": "\\u0000"}', "metadata.k"),
        ('"metadata": {"\\ud83d": ""}', "metadata.\ufffd\ufffd\ufffd"),
        ('"x_tunery": {"\\ud83d": ""}', "x_tunery"),
        ('"x_tunery": {"target_modules": ["\\ud83d"]}', "x_tunery.target_modules"),
    ],
)
def test_numbers_and_characters_that_are_none_are_refused(
    http: TestClient, fields: str, param: str
) -> None:
    body = f'{{"model": "tiny-chat", "training_file": "f", {fields}}}'
    answer = http.post(JOBS, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_body_without_what_is_required_names_all_of_it(http: TestClient) -> None:
    error = http.post(JOBS, json={}).json()["error"]
    assert error["param"] == "model"
    assert error["code"] == "missing_required_parameter"
    assert "'model'" in error["message"]
    assert "'training_file'" in error["message"]


def test_too_few_rows_are_refused_at_create(http: TestClient, world: World) -> None:
    error = refused(http, world, training_file=world.file(n_rows=7))
    assert error["code"] == "invalid_n_examples"
    assert error["message"].startswith("Training file has 7 example(s), but must have at least 10")
    assert error["x_tunery"] == {"problems": []}


def test_a_repeated_create_gives_the_same_job(http: TestClient, world: World) -> None:
    body = {"model": "tiny-chat", "training_file": world.file(), "seed": 3}
    again = {"seed": 3, "training_file": body["training_file"], "model": "tiny-chat", "x": None}
    headers = {"idempotency-key": "abc"}
    first = http.post(JOBS, json=body, headers=headers).json()
    assert http.post(JOBS, json=again, headers=headers).json() == first
    # Whatever has become of what it was made of.
    assert http.delete(f"/v1/files/{body['training_file']}").status_code == 200
    assert http.post(JOBS, json=again, headers=headers).json() == first
    assert len(http.get(JOBS).json()["data"]) == 1
    other = http.post(JOBS, json={**body, "seed": 4}, headers=headers)
    assert other.status_code == 409
    assert other.headers["x-should-retry"] == "false"
    assert http.post(JOBS, json=body, headers={"idempotency-key": "k" * 256}).status_code == 400


def test_a_dry_run_reports_and_makes_nothing(http: TestClient, world: World) -> None:
    report = create(http, world, x_tunery={"dry_run": True, "r": 8})
    assert report["object"] == "fine_tuning.dry_run"
    assert report["steps"] == 15
    assert report["memory_bytes"] == 1_000_000
    assert report["hyperparameters"]["n_epochs"] == 5
    assert report["x_tunery"]["r"] == 8
    assert not {"status", "evaluation"} & set(report["x_tunery"])
    assert report["report"]["n_rows"] == 20
    assert http.get(JOBS).json()["data"] == []


def test_an_alias_trains_the_open_model(sdk: OpenAI, world: World) -> None:
    job = sdk.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=world.file())
    assert job.model == "tiny-chat"
    messages = [event.message for event in sdk.fine_tuning.jobs.list_events(job.id)]
    assert any("gpt-4o-mini is tiny-chat" in message for message in messages)


def test_an_account_before_the_models_name_chooses_who_carries_it_out(
    http: TestClient, world: World
) -> None:
    job = create(http, world, model="openai-main/gpt-4o-mini")
    assert (job["model"], job["x_tunery"]["engine"]) == ("tiny-chat", "local")
    assert job["x_tunery"]["requested_model"] == "openai-main/gpt-4o-mini"
    error = refused(http, world, model="openai-other/gpt-4o-mini")
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert "Accounts here: openai-main" in error["message"]


def test_lists_are_newest_first_and_filtered_by_metadata(sdk: OpenAI, world: World) -> None:
    ids = []
    for number in range(5):
        metadata = {"n": str(number), "even": str(number % 2 == 0)} if number else None
        job = sdk.fine_tuning.jobs.create(
            model="tiny-chat", training_file=world.file(), metadata=metadata
        )
        ids.append(job.id)
    jobs = sdk.fine_tuning.jobs
    assert [job.id for job in jobs.list(limit=2)] == ids[::-1]
    page = jobs.list(limit=2)
    assert ([job.id for job in page.data], page.has_more) == (ids[:2:-1], True)
    assert [job.id for job in jobs.list(metadata={"even": "True"})] == [ids[4], ids[2]]
    assert [job.id for job in jobs.list(metadata={"even": "True", "n": "2"})] == [ids[2]]
    # The official client has no type for "no metadata"; the wire has the word null.
    nothing = jobs.list(extra_query={"metadata": "null"})
    assert [job.id for job in nothing] == [ids[0]]
    assert jobs.list(after="after", limit=0, metadata={"k": "v"}).data == []
    assert jobs.list(after="ftjob-unknown").data == []


def test_odd_list_queries_are_refused(http: TestClient) -> None:
    more_than_a_job_has = "&".join(f"metadata[k{number}]=v" for number in range(17))
    for query, param in (
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("metadata=x", "metadata"),
        (more_than_a_job_has, "metadata"),
    ):
        answer = http.get(f"{JOBS}?{query}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_job_is_read_with_and_without_v1_and_by_its_digits_alone(
    http: TestClient, world: World
) -> None:
    job = create(http, world)
    # Without `/v1` it is the gateway's clients that read it, and these do not know the word.
    in_gateways_words = {**job, "status": "queued"}
    for name in (job["id"], job["id"].removeprefix("ftjob-")):
        assert http.get(f"{JOBS}/{name}").json() == job
        assert http.get(f"/fine_tuning/jobs/{name}").json() == in_gateways_words


def test_a_job_that_is_not_ours_is_as_unknown_as_any(http: TestClient, world: World) -> None:
    job = create(http, world)
    theirs = {"authorization": f"Bearer {THEIRS.key_id}"}
    for name, headers in (("nope", {}), (job["id"], theirs)):
        for method, tail in (
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/checkpoints"),
            ("POST", "/cancel"),
            ("POST", "/pause"),
            ("POST", "/resume"),
        ):
            answer = http.request(method, f"{JOBS}/{name}{tail}", headers=headers)
            assert answer.status_code == 404
            assert answer.json()["error"] == {
                "message": f"Could not find fine tune: {name}",
                "type": "invalid_request_error",
                "param": "fine_tune_id",
                "code": "fine_tune_not_found",
            }
    assert http.get(JOBS, headers=theirs).json()["data"] == []


def test_a_paused_job_says_queued_and_the_true_word_beside_it(
    sdk: OpenAI, http: TestClient, world: World
) -> None:
    job = sdk.fine_tuning.jobs.create(model="tiny-chat", training_file=world.file())
    validation = claimed(world.store)
    world.store.validated(validation.lease, GOOD)
    assert sdk.fine_tuning.jobs.pause(job.id).status == "queued"
    assert http.get(f"{JOBS}/{job.id}").json()["x_tunery"]["status"] == "paused"
    with pytest.raises(BadRequestError, match="is paused"):
        sdk.fine_tuning.jobs.pause(job.id)
    assert sdk.fine_tuning.jobs.resume(job.id).status == "queued"
    with pytest.raises(BadRequestError, match="is queued"):
        sdk.fine_tuning.jobs.resume(job.id)
    assert sdk.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(BadRequestError, match="is cancelled") as wrong:
        sdk.fine_tuning.jobs.cancel(job.id)
    assert wrong.value.code == "invalid_state"


def test_ids_with_numbers_beyond_all_measure_name_nothing(http: TestClient, world: World) -> None:
    body = {"model": "tiny-chat", "training_file": world.file()}
    job = http.post(JOBS, json=body).json()["id"]
    digits, number = job.removeprefix("ftjob-"), "9" * 5000
    events = http.get(f"{JOBS}/{job}/events?after=ftevent-{digits}-{number}")
    assert (events.status_code, events.json()["data"]) == (200, [])
    model = http.get(f"/v1/models/ft:tiny-chat:org-default::{digits[-8:]}:ckpt-step-{number}")
    assert (model.status_code, model.json()["error"]["code"]) == (404, "model_not_found")


def test_events_and_checkpoints_of_a_finished_job(sdk: OpenAI, world: World) -> None:
    job = sdk.fine_tuning.jobs.create(model="tiny-chat", training_file=world.file())
    model = world.finish(job.id)
    done = sdk.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model, done.trained_tokens) == ("succeeded", model, 1000)
    page = sdk.fine_tuning.jobs.list_events(job.id, limit=2)
    assert page.has_more
    events = list(sdk.fine_tuning.jobs.list_events(job.id, limit=2))
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    metrics = [event for event in events if event.type == "metrics"]
    assert [event.data["step"] for event in metrics] == [3, 2, 1]  # type: ignore[index]
    assert metrics[0].message == "Step 3/100: training loss=0.33"
    [checkpoint] = sdk.fine_tuning.jobs.checkpoints.list(job.id)
    assert checkpoint.step_number == 3
    assert checkpoint.fine_tuned_model_checkpoint == f"{model}:ckpt-step-3"
    assert checkpoint.metrics.full_valid_loss is None
    assert checkpoint.metrics.train_loss == pytest.approx(1 / 3)


def test_checkpoint_pages_name_their_ends(http: TestClient, world: World) -> None:
    job = create(http, world)
    path = f"{JOBS}/{job['id']}/checkpoints"
    empty = {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    assert http.get(path).json() == empty
    world.store.validated(claimed(world.store).lease, GOOD)
    lease = claimed(world.store).lease
    for step in (1, 2, 3):
        world.store.apply(lease, [*steps(step, step), saved(step, folder=f"runs/{step}")])
    page = http.get(path, params={"limit": 2}).json()
    assert [one["step_number"] for one in page["data"]] == [3, 2]
    assert page["has_more"]
    assert (page["first_id"], page["last_id"]) == tuple(one["id"] for one in page["data"])
    rest = http.get(path, params={"after": page["last_id"]}).json()
    assert [one["step_number"] for one in rest["data"]] == [1]
    assert http.get(path, params={"limit": 0}).json()["data"] == []


def test_unknown_jobs_raise_what_the_official_client_knows(sdk: OpenAI) -> None:
    with pytest.raises(NotFoundError) as unknown:
        sdk.fine_tuning.jobs.retrieve("ftjob-nope")
    assert unknown.value.code == "fine_tune_not_found"


def test_an_evaluation_stands_on_the_job_and_in_its_events(
    http: TestClient, sdk: OpenAI, world: World
) -> None:
    job_id = create(http, world)["id"]
    world.store.validated(claimed(world.store).lease, GOOD)
    base = Score(n=20, exact_match=0, execution_match=1)
    tuned = Score(n=20, exact_match=15, execution_match=18)
    world.store.apply(claimed(world.store).lease, [Evaluated(base=base, tuned=tuned)])
    assert http.get(f"{JOBS}/{job_id}").json()["x_tunery"]["evaluation"] == {
        "base": {"n": 20, "exact_match": 0, "execution_match": 1},
        "tuned": {"n": 20, "exact_match": 15, "execution_match": 18},
    }
    assert (
        sdk.fine_tuning.jobs.list_events(job_id)
        .data[0]
        .message.startswith("On 20 held-out golden records: execution match 18 (base model 1)")
    )


@pytest.mark.parametrize("finished", [False, True])
def test_a_deleted_job_is_answered_as_one_that_never_was(
    http: TestClient, world: World, finished: bool
) -> None:
    job_id = create(http, world)["id"]
    model = world.finish(job_id) if finished else None
    world.services.jobs.delete(OURS, job_id)
    unknown = "ftjob-" + "0" * 24
    for method, rest in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
    ):
        gone = http.request(method, f"{JOBS}/{job_id}{rest}")
        never = http.request(method, f"{JOBS}/{unknown}{rest}")
        assert gone.status_code == never.status_code == 404
        assert gone.text.replace(job_id, unknown) == never.text
    assert http.get(JOBS).json()["data"] == []
    if model is not None:
        for name in (model, f"{model}:ckpt-step-3"):
            assert http.get(f"/v1/models/{name}").json()["id"] == name
            prompt = {"model": name, "prompt": "Hi"}
            assert http.post("/v1/completions", json=prompt).status_code == 200
