from functools import partial
from pathlib import Path

from benchmarks.comparison import Comparison, Trial, best_in_turn, in_turn
from benchmarks.report import machine, table, write_section


def test_a_section_is_written_over_and_the_others_stay(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"

    write_section("cpu", "On two cores: 3 x", document)
    write_section("gpu", "On a GPU: 2 x", document)
    write_section("cpu", "On two cores: 4 x", document)

    text = document.read_text()
    assert text.count("# Benchmarks") == 1
    assert "3 x" not in text
    assert text.index("On two cores: 4 x") < text.index("On a GPU: 2 x")


def test_a_row_names_medians_ranges_the_ratio_and_what_it_should_be() -> None:
    found = Comparison(
        what="LoRA", rival="TRL", unit="tok/s", ours=[900, 1000, 1100], theirs=[250], at_least=2.5
    )

    row = table([found]).splitlines()[2]

    assert row == "| LoRA | 1,000 tok/s (900-1,100) | 250 tok/s (250-250) | 4.0 x | 2.5 x | TRL |"
    assert not found.falls_short


def test_less_is_better_where_that_is_said_and_a_share_is_in_percent() -> None:
    seconds = Comparison(
        what="", rival="", unit="s", ours=[2], theirs=[8], more_is_better=False, at_least=6
    )
    share = Comparison(
        what="", rival="", unit="GFLOP/s", ours=[20], theirs=[80], at_least=0.15, is_share=True
    )

    assert seconds.as_ratio(seconds.ratio) == "4.0 x"
    assert seconds.falls_short
    assert share.as_ratio(share.ratio) == "25%"
    assert not share.falls_short


def test_a_rival_that_fails_says_so_in_its_row_and_ends_nothing() -> None:
    def fail() -> float:
        raise RuntimeError("Traceback\nModuleNotFoundError: No module named 'trl'")

    ours, theirs = Trial(lambda: 1.0), Trial(fail)
    in_turn([ours, theirs], 3)
    found = Comparison(
        what="LoRA",
        rival="TRL",
        unit="s",
        ours=ours.values,
        theirs=theirs.values,
        at_least=2,
        trouble=theirs.trouble,
    )

    assert ours.values == [1.0, 1.0, 1.0]
    assert "No module named 'trl'" in table([found])
    assert found.ratio is None
    assert found.falls_short


def test_the_best_way_of_each_side_is_kept_and_only_the_two_best_are_measured_again() -> None:
    seconds = {"fp32": 3.0, "bf16": 1.0, "packed": 2.0}
    theirs = {name: Trial(partial(float, value)) for name, value in seconds.items()}

    (ours, _), (best, trial) = best_in_turn(
        {"as it is": Trial(lambda: 0.5)}, theirs, rounds=3, more_is_better=False
    )

    assert (ours, best) == ("as it is", "bf16")
    assert len(trial.values) == len(theirs["packed"].values) == 3
    assert len(theirs["fp32"].values) == 1


def test_a_note_that_several_rows_share_stands_once() -> None:
    rows = [
        Comparison(what=what, rival="", unit="s", ours=[1], theirs=[1], note="all from cold")
        for what in ("time", "memory")
    ]

    assert table(rows).count("all from cold") == 1


def test_the_machine_is_told_without_its_name_or_a_folder_of_it() -> None:
    told = machine("2 threads")

    assert "- 2 threads" in told
    assert "torch 2." in told
    assert str(Path.home()) not in told
