"""Stop strings never leak, wherever the pieces of text are cut."""

from hypothesis import given
from hypothesis import strategies as st

from tunery.inference.stops import StopStrings


def run(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    matcher = StopStrings(stops)
    shown = "".join(matcher.feed(piece) for piece in pieces)
    return shown + matcher.flush(), matcher.hit


def test_a_beginning_of_a_stop_string_waits_for_what_follows() -> None:
    matcher = StopStrings(["\nUser:"])
    assert matcher.feed("Hello\nUs") == "Hello"
    assert matcher.feed("er") == ""
    assert matcher.feed(": you") == ""
    assert matcher.hit
    assert matcher.feed("more") == matcher.flush() == ""


def test_what_turned_out_to_be_no_stop_string_is_shown() -> None:
    matcher = StopStrings(["abc"])
    assert matcher.feed("xab") == "x"
    assert matcher.feed("d") == "abd"
    assert matcher.feed("ab") == ""
    assert matcher.flush() == "ab"


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert run(["one two three"], ["three", "two"]) == ("one ", True)


@given(
    pieces=st.lists(st.text(alphabet="ab", max_size=4), max_size=8),
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
)
def test_cutting_the_text_elsewhere_changes_nothing(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    shown, hit = run(pieces, stops)
    ends = [at for stop in stops if (at := whole.find(stop)) >= 0]
    if not ends:
        assert (shown, hit) == (whole, False)
    else:
        assert hit
        # A longer stop string that began earlier may have been complete only later.
        assert whole.startswith(shown)
        assert not any(stop in shown for stop in stops)
