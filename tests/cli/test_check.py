"""`tunery check`. The process that looks at the data with the model is played by a script."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tests.cli.conftest import CommandLine
from tests.service.bad_files import GOOD, TOOL, USER, line
from tunery.cli import examine
from tunery.cli.report import print_report
from tunery.core.preflight import Preflight
from tunery.engines.child import cold

ROWS = b"".join(
    line({"messages": [USER, {"role": "assistant", "content": str(n)}]}) for n in range(20)
)
SEEN: dict[str, Any] = {
    "format": "chat",
    "n_rows": 20,
    "n_examples": 18,
    "n_overlong": 2,
    "context": 2048,
    "tokens": {
        "total": 12_000,
        "trained": 4_560,
        "median": 512,
        "p95": 2310,
        "max": 9877,
        "histogram": [[512, 8], [1024, 4], [2048, 1], [4096, 0]],
    },
    "problems": [
        {
            "line": 7,
            "field": None,
            "message": "has 9877 tokens, but the model takes 2048",
            "level": "error",
            "file": "training",
        }
    ],
    "n_errors": 1,
    "n_warnings": 0,
    "template": "chatml",
    "rendered": [["<|user|>hi", False], ["hello", True]],
    "seconds_per_token": 0.001,
    "memory_bytes": 1_500_000_000,
    "memory_available_bytes": 24_000_000_000,
}
SCRIPT = """
import sys
request = sys.stdin.readline()
open(sys.argv[1], "w").write(request)
import json
copy = json.loads(request)["training_file"]
open(sys.argv[1] + ".rows", "w").write(open(copy).read())
print(sys.argv[2], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "support.jsonl"
    path.write_bytes(ROWS)
    return path


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the script leaves what it was asked."""
    path = tmp_path / "asked.json"

    def play(_: str) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", SCRIPT, str(path), json.dumps(SEEN)]
        return subprocess.Popen(command, **pipes)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(examine, "cold", play)
    return path


def test_a_good_file_is_said_to_be_good(tunery: CommandLine, data: Path) -> None:
    ended = tunery("check", str(data))
    assert (ended.code, ended.out) == (
        0,
        "format      OpenAI chat (detected), 20 rows\n0 errors, 0 warnings\n",
    )


def test_five_kinds_of_errors_give_five_messages(tunery: CommandLine, data: Path) -> None:
    wrong = [
        line({"messages": [USER, {"role": "asistant", "content": "4"}]}),
        line({"messages": [USER]}),
        b'{"messages": \xff}\n',
        b"{oops}\n",
        line({"messages": [USER, {"role": "assistant", "content": "4", "weight": 2}]}),
    ]
    data.write_bytes(ROWS + b"".join(wrong) + line({**GOOD, "tools": [TOOL]}))
    ended = tunery("check", str(data))
    assert ended.code == 2
    assert ended.out.splitlines() == [
        "format      OpenAI chat (detected), 26 rows, tools in 1",
        '✗ line 21  messages[1].role "asistant": did you mean "assistant"?',
        "✗ line 22  no assistant message: nothing to learn here",
        "✗ line 23  not UTF-8: byte 14 (0xFF) begins no character; save the file as UTF-8",
        "✗ line 24  not JSON: Expecting property name enclosed in double quotes at column 2",
        "✗ line 25  messages[1].weight is 2; it must be 0 or 1",
        "5 errors, 0 warnings",
    ]


def test_the_validation_file_is_checked_and_compared(tunery: CommandLine, data: Path) -> None:
    other = data.with_name("validation.jsonl")
    other.write_bytes(b"{\n" + ROWS.splitlines(keepends=True)[0])
    ended = tunery("check", str(data), "--validation", str(other))
    assert ended.code == 2
    assert "✗ validation line 1  not JSON" in ended.out
    assert "! validation  1 row repeats one of the training file: line 2" in ended.out
    assert ended.out.endswith("1 error, 1 warning\n")


def test_too_few_rows_and_rows_for_other_methods_are_said(tunery: CommandLine, data: Path) -> None:
    data.write_bytes(line(GOOD))
    assert (
        "Training file has 1 example(s), but must have at least 10"
        in tunery("check", str(data)).out
    )
    data.write_bytes(line({"messages": [USER], "answer": 4}) * 10)
    ended = tunery("check", str(data), "--model", "tiny-chat")
    assert ended.code == 2
    assert "reinforcement rows can be uploaded, but are not trained on yet" in ended.out


def preferences(n: int) -> bytes:
    answers = [[{"role": "assistant", "content": word}] for word in ("Good.", "Bad.")]
    row = {"preferred_output": answers[0], "non_preferred_output": answers[1]}
    asked = [{"messages": [{"role": "user", "content": f"How is {n}?"}]} for n in range(n)]
    return b"".join(line({"input": one, **row}) for one in asked)


def test_preferences_are_counted_as_pairs(tunery: CommandLine, data: Path) -> None:
    data.write_bytes(preferences(12))
    ended = tunery("check", str(data))
    assert (ended.code, ended.out) == (
        0,
        "format      OpenAI preference (DPO) (detected), 12 pairs\n0 errors, 0 warnings\n",
    )


def test_one_job_cannot_learn_from_the_one_and_be_measured_on_the_other(
    tunery: CommandLine, data: Path
) -> None:
    other = data.with_name("validation.jsonl")
    other.write_bytes(preferences(3))
    ended = tunery("check", str(data), "--validation", str(other))
    assert ended.code == 2
    assert "validation  has preference rows, and the training file chat rows" in ended.out


def test_the_built_in_model_counts_both_answers_of_a_pair(tunery: CommandLine, data: Path) -> None:
    data.write_bytes(preferences(12))
    ended = tunery("check", str(data), "--model", "tiny-chat", "--json")
    assert ended.code == 0
    report = ended.json
    assert (report["format"], report["n_rows"], report["n_examples"]) == ("preference", 12, 12)
    assert [text for text, taught in report["rendered"] if taught] == [
        "Good.<|end|>",
        "Bad.<|end|>",
    ]
    assert report["seconds_per_token"] > 0


def test_with_a_model_its_tokens_are_shown(tunery: CommandLine, data: Path, asked: Path) -> None:
    data.write_bytes(ROWS + b"{\n")
    ended = tunery("check", str(data), "-m", "tiny-chat", "--overlong", "drop")
    assert ended.code == 2
    assert ended.out.splitlines() == [
        "format      OpenAI chat (detected), 21 rows, 18 to train on",
        "✗ line 7  has 9877 tokens, but the model takes 2048",
        "✗ line 21  not JSON: Expecting property name enclosed in double quotes at column 2; "
        "a row is one JSON object on one line, without line breaks inside",
        "tokens      median 512, p95 2,310, max 9,877, 12,000 in all · trained 38% · "
        "rows by length █▅▂▁",
        "too long    2 rows are longer than 2,048 tokens: --overlong drop leaves them out, "
        "--overlong truncate cuts them",
        "template    from the model (chatml)",
        "memory      1.5 GB of 24.0 GB ✓",
        *[row for row in ended.out.splitlines() if row.startswith("time  ")],
        "",
        "row 1       as the model sees it; what is in ⟨⟩ is learnt",
        "<|user|>hi⟨hello⟩",
        "",
        "2 errors, 0 warnings",
    ]
    request = json.loads(asked.read_text())
    assert request["overlong"] == "drop"
    assert request["location"].endswith("tiny-chat")
    # The bad row is emptied, so that the model's findings still name the right lines.
    assert asked.with_suffix(".json.rows").read_bytes() == ROWS + b"\n"
    assert not Path(request["training_file"]).exists()


def test_the_report_can_be_read_by_programs(tunery: CommandLine, data: Path, asked: Path) -> None:
    ended = tunery("check", str(data), "--model", "tiny-chat", "--json")
    assert ended.code == 2
    assert ended.json == {**SEEN, **{key: ended.json[key] for key in set(ended.json) - set(SEEN)}}
    assert json.loads(asked.read_text())["training_file"] == str(data)


def test_a_process_without_a_report_is_said_with_its_last_words(
    tunery: CommandLine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "cold", lambda _: cold("tunery.no_such_module"))
    ended = tunery("check", str(data), "--model", "tiny-chat")
    assert ended.code == 2
    assert "The model could not be looked at. It ended with exit code 1" in ended.err
    assert "no_such_module" in ended.err


def test_without_pytorch_the_rows_are_checked_alone(
    tunery: CommandLine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunery.cli.check.installed", lambda: False)
    ended = tunery("check", str(data), "--model", "tiny-chat")
    assert ended.code == 0
    assert "PyTorch is not installed here" in ended.err
    assert "pip install 'tunery[train]'" in ended.err
    assert "tokens" not in ended.out


def test_an_unknown_model_or_file_is_bad_input(tunery: CommandLine, data: Path) -> None:
    ended = tunery("check", str(data), "--model", "nope")
    assert ended.code == 2
    assert "There is no base model 'nope'" in ended.err
    assert tunery("check", str(data) + "x").code == 2


def test_on_a_terminal_what_is_learnt_is_underlined() -> None:
    console = Console(force_terminal=True, color_system="standard", highlight=False, width=200)
    report = msgspec.convert(SEEN, Preflight)
    with console.capture() as captured:
        print_report(console, report, n_epochs=3)
    assert "\x1b[4;32mhello" in captured.get()
    assert "about 0:36 for 3 epochs" in captured.get()


@pytest.mark.e2e
def test_the_built_in_model_counts_for_real(tunery: CommandLine, data: Path) -> None:
    ended = tunery("check", str(data), "--model", "tiny-chat", "--json")
    assert ended.code == 0
    assert ended.json["n_examples"] == 20
    assert 0 < ended.json["tokens"]["trained"] < ended.json["tokens"]["total"]
    assert any(taught and "0" in text for text, taught in ended.json["rendered"])
