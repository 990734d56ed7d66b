"""The report counts what training learns from, by the same code."""

from pathlib import Path

import pytest

from tests.modeling.templates import CHATML, tokenizer
from tests.trainers.conftest import chat, preference, write
from tunery.core.method import Preference, Supervised
from tunery.core.models import Quantization
from tunery.core.preflight import Preflight, refusal
from tunery.core.progress import PreflightRequest
from tunery.modeling.chat import Chat
from tunery.trainers.preflight import preflight
from tunery.trainers.text_data import load_examples


def report(model: Path, training: Path, **more: object) -> Preflight:
    options: dict[str, object] = {"estimate": False, **more}
    return preflight(
        PreflightRequest(location=str(model), training_file=str(training), **options)  # type: ignore[arg-type]
    )


def test_tokens_are_those_that_training_sees(model_folder: Path, blobs: Path) -> None:
    path = blobs / "files" / "train"
    found = report(model_folder, path)
    examples = load_examples(
        path, Chat(tokenizer(CHATML, eos="<|im_end|>")), context=2048, overlong="error"
    )
    lengths = sorted(examples.starts.diff().tolist())
    assert found.tokens is not None
    assert (found.n_rows, found.n_examples, found.n_errors, found.context) == (22, 22, 0, 2048)
    assert found.tokens.total == sum(lengths)
    assert found.tokens.trained == examples.n_taught
    assert found.tokens.max == lengths[-1]
    assert found.tokens.median == lengths[11]
    assert sum(n for _, n in found.tokens.histogram) == 22
    assert found.tokens.histogram[-1][0] >= lengths[-1]
    assert found.template == "chatml"
    assert found.format == "chat"
    assert [text for text, taught in found.rendered if taught] == ["I am well 0.<|im_end|>"]
    assert found.seconds_per_token is None
    assert refusal(found, Supervised()) is None


def test_every_row_that_is_too_long_is_an_error_by_its_line(
    model_folder: Path, tmp_path: Path
) -> None:
    rows = [chat("Hello", "two " * (3000 if i % 5 == 2 else 3)) for i in range(12)]
    path = write(tmp_path / "rows", rows)
    found = report(model_folder, path)
    assert [problem.line for problem in found.problems] == [3, 8]
    assert (found.n_overlong, found.n_examples, found.n_errors) == (2, 10, 2)
    refused = refusal(found, Supervised())
    assert refused is not None
    assert refused.code == "invalid_training_file"
    dropped = report(model_folder, path, overlong="drop")
    assert (dropped.n_overlong, dropped.n_examples, dropped.n_errors) == (2, 10, 0)
    cut = report(model_folder, path, overlong="truncate")
    assert (cut.n_overlong, cut.n_examples, cut.n_errors) == (2, 12, 0)
    assert cut.tokens is not None
    assert cut.tokens.max == 2048


def test_of_a_pair_both_sequences_are_counted(model_folder: Path, tmp_path: Path) -> None:
    rows = [preference("Hello", "two", "two " * i) for i in range(1, 13)]
    path = write(tmp_path / "rows", rows)
    found = report(model_folder, path)
    pairs = load_examples(
        path,
        Chat(tokenizer(CHATML, eos="<|im_end|>")),
        context=2048,
        overlong="error",
        width=2,
    )
    lengths = pairs.starts.diff().tolist()
    assert found.tokens is not None
    assert (found.format, found.n_rows, found.n_examples) == ("preference", 12, 12)
    assert (found.tokens.total, found.tokens.max) == (sum(lengths), max(lengths))
    assert found.tokens.trained == pairs.n_taught
    assert [text for text, taught in found.rendered if taught] == [
        "two<|im_end|>",
        "two <|im_end|>",
    ]
    assert refusal(found, Preference()) is None


def test_a_pair_with_one_answer_too_long_is_an_error_by_its_line(
    model_folder: Path, tmp_path: Path
) -> None:
    rows = [preference("Hello", "two", "two " * (3000 if i == 4 else 3)) for i in range(12)]
    path = write(tmp_path / "rows", rows)
    found = report(model_folder, path)
    assert [problem.line for problem in found.problems] == [5]
    assert refusal(found, Preference()) is not None
    dropped = report(model_folder, path, overlong="drop")
    assert (dropped.n_overlong, dropped.n_examples, dropped.n_errors) == (1, 11, 0)


def test_rows_that_the_template_cannot_render_are_named(model_folder: Path, tmp_path: Path) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    silent = chat("Hello", "two")
    silent["messages"][1]["weight"] = 0
    rows = [
        chat("Hello", "two"),
        silent,
        {
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
            ]
        },
    ]
    path = write(tmp_path / "rows", rows)
    with path.open("ab") as file:
        file.write(b'{"messages": 3}\n')
    found = report(model_folder, path)
    assert [(p.line, p.level) for p in found.problems] == [(2, "warning"), (4, "error")]
    assert (found.n_rows, found.n_examples) == (3, 2)


def test_validation_rows_are_checked_and_compared(model_folder: Path, tmp_path: Path) -> None:
    rows = [chat(f"Hello {i}", "two") for i in range(12)]
    training = write(tmp_path / "train", rows)
    validation = write(
        tmp_path / "valid", [rows[3], chat("new", "two"), rows[5], chat("a", "two " * 3000)]
    )
    found = report(model_folder, training, validation_file=str(validation))
    assert {(p.file, p.level) for p in found.problems} == {
        ("validation", "error"),
        ("validation", "warning"),
    }
    [shared] = [p for p in found.problems if p.level == "warning"]
    assert "2 rows" in shared.message
    assert shared.message.endswith("lines 1, 3")
    refused = refusal(found, Supervised())
    assert refused is not None
    assert refused.param == "validation_file"


def test_completions_have_no_template(model_folder: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "Hello", "completion": " two"}] * 10
    found = report(model_folder, write(tmp_path / "rows", rows))
    assert (found.format, found.template) == ("completion", None)
    assert found.rendered == (("Hello", False), (" two<|im_end|>", True), ("", False))


def test_a_model_that_cannot_be_used_is_the_reports_one_problem(
    blobs: Path, tmp_path: Path
) -> None:
    found = report(tmp_path / "none", blobs / "files" / "train")
    [problem] = found.problems
    assert "neither a folder nor" in problem.message
    assert refusal(found, Supervised()) is not None


@pytest.mark.parametrize(("n_rows", "quantization"), [(10, None), (60, None), (10, "nf4")])
def test_time_and_memory_are_measured_on_the_model(
    n_rows: int, quantization: Quantization | None, model_folder: Path, tmp_path: Path
) -> None:
    rows = [chat(f"Hello {i}", "two " * i) for i in range(n_rows)]
    path = write(tmp_path / "rows", rows)
    found = report(model_folder, path, estimate=True, r=2, quantization=quantization)
    assert found.n_parameters == 44_192
    assert found.n_trained_parameters == 1_856
    assert found.seconds_per_token is not None
    assert 0 < found.seconds_per_token < 1e-2
    assert found.memory_bytes is not None
    assert found.memory_available_bytes is not None
    assert 0 < found.memory_bytes < found.memory_available_bytes


def test_settings_that_the_model_cannot_have_are_a_problem(model_folder: Path, blobs: Path) -> None:
    path = blobs / "files" / "train"
    found = report(model_folder, path, estimate=True, target_modules=("c_attn",))
    [problem] = found.problems
    assert problem.field == "target_modules"
    assert found.tokens is not None


def test_there_is_no_estimate_for_data_that_cannot_be_trained_on(
    model_folder: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "rows", [chat("Hello", "two " * 3000)] * 10)
    found = report(model_folder, path, estimate=True)
    assert found.seconds_per_token is None
    assert found.tokens is None
