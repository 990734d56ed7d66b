"""What a request names comes first, then the table of routes, then this machine."""

import pytest

from tunery.core.errors import InvalidValue
from tunery.service.routing import Routing

ROUTING = Routing(
    engines=("local", "ray"),
    accounts={"openai-main": "local", "second.one_2": "local"},
    routes={"big-*": "ray", "big-but-small": "openai-main", "org/*": "ray", "[ab]?": "ray"},
)


@pytest.mark.parametrize(
    ("model", "named", "vendor", "engine"),
    [
        ("tiny-chat", None, None, "local"),
        ("tiny-chat", "ray", None, "ray"),
        ("tiny-chat", "openai-main", None, "local"),
        # A name before everything else.
        ("big-one", "local", None, "local"),
        ("openai-main/big-one", "ray", None, "ray"),
        ("tiny-chat", "ray", "local", "ray"),
        # The account before the model's name, then the vendor.
        ("openai-main/big-one", None, None, "local"),
        ("second.one_2/big-one", None, "OPENAI", "local"),
        ("big-one", None, "OPENAI", "local"),
        ("big-one", None, "LOCAL", "local"),
        ("tiny-chat", None, "launch", "local"),
        # The table: the first pattern that fits, of the whole name, as it is written.
        ("big-one", None, None, "ray"),
        ("big-but-small", None, None, "ray"),
        ("BIG-one", None, None, "local"),
        ("so-big-one", None, None, "local"),
        ("org/model", None, None, "ray"),
        ("a1", None, None, "ray"),
        ("c1", None, None, "local"),
        # What is no account is part of the model's name.
        ("ray/tiny-chat", None, None, "local"),
        ("local/tiny-chat", None, None, "local"),
    ],
)
def test_who_carries_a_job_out(
    model: str, named: str | None, vendor: str | None, engine: str
) -> None:
    assert ROUTING.engine(model, named=named, vendor=vendor) == engine


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("tiny-chat", "tiny-chat"),
        ("org/model", "org/model"),
        ("openai-main/tiny-chat", "tiny-chat"),
        ("openai-main/org/model", "org/model"),
        ("openai-main/ft:org/model:o:s:1", "ft:org/model:o:s:1"),
        ("ft:openai-main/model:o:s:1", "ft:openai-main/model:o:s:1"),
        ("openai-main", "openai-main"),
        ("openai-main/", ""),
        ("OpenAI-main/tiny-chat", "OpenAI-main/tiny-chat"),
    ],
)
def test_which_model_a_name_means(name: str, model: str) -> None:
    assert ROUTING.model(name) == model


@pytest.mark.parametrize("name", ["moon", "", "openai-main/", "LOCAL", "x" * 500])
def test_an_unknown_name_is_told_what_there_is(name: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        ROUTING.engine("tiny-chat", named=name)
    assert refused.value.param == "engine"
    assert refused.value.message == (
        f"There is no engine or account {name[:80]!r}. Engines here: local, ray. "
        "Accounts here: openai-main, second.one_2."
    )


@pytest.mark.parametrize(
    ("accounts", "routes", "words"),
    [
        (
            {"openai": "openai"},
            {},
            "the kind 'openai', which is not there yet; the kinds are local",
        ),
        ({"a/b": "local"}, {}, "an account 'a/b'"),
        ({"": "local"}, {}, "an account ''"),
        ({"ft:x": "local"}, {}, "an account 'ft:x'"),
        ({"x" * 65: "local"}, {}, "1 to 64"),
        ({"local": "local"}, {}, "the name of an engine"),
        ({}, {"gpt-*": "openai-main"}, "sends 'gpt-*' to 'openai-main'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_start(
    accounts: dict[str, str], routes: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        Routing(accounts=accounts, routes=routes)
    assert words in refused.value.message
    assert refused.value.param == ("accounts" if accounts else "routes")


def test_what_no_engine_stands_behind_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(InvalidValue, match=r"There is no engine 'local'\. Engines here: ray"):
        Routing(engines=("ray",)).engine("tiny-chat")
