"""Where a setting comes from."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tunery.settings import Settings


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tunery.toml").write_text(
        'port = 9000\nconcurrent_jobs = 2\n[aliases]\n"gpt-4o-mini" = "tiny-chat"\n'
    )
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path))
    monkeypatch.setenv("TUNERY_PORT", "9001")

    settings = Settings()

    assert settings.home == tmp_path
    assert settings.port == 9001
    assert settings.concurrent_jobs == 2
    assert settings.aliases == {"gpt-4o-mini": "tiny-chat"}
    assert settings.lease_seconds == 15


def test_a_bootstrap_key_that_can_be_guessed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_BOOTSTRAP_KEY", "secret")

    with pytest.raises(ValidationError, match="at least 32 characters") as refused:
        Settings(home=tmp_path)

    assert "secret" not in str(refused.value)


def test_a_bootstrap_key_is_not_shown_with_the_other_settings(tmp_path: Path) -> None:
    assert "secret" not in repr(Settings(home=tmp_path, bootstrap_key="secret" * 6))


def test_accounts_and_routes_are_tables_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "tunery.toml").write_text(
        '[accounts.openai-main]\nkind = "local"\n[routes]\n"gpt-*" = "openai-main"\n"*" = "local"\n'
    )

    settings = Settings(home=tmp_path)

    assert settings.accounts["openai-main"].kind == "local"
    assert list(settings.routes.items()) == [("gpt-*", "openai-main"), ("*", "local")]


def test_an_account_with_a_key_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tunery.toml").write_text('[accounts.acme]\nkind = "local"\napi_key = "secret"\n')

    with pytest.raises(ValidationError, match="api_key") as refused:
        Settings(home=tmp_path)

    assert "secret" not in str(refused.value)


def test_hosts_are_listed_with_commas_in_a_variable_and_as_a_list_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tunery.toml").write_text('allow_hosts = ["db.internal", "10.0.0.0/8"]\n')
    assert Settings(home=tmp_path).allow_hosts == ["db.internal", "10.0.0.0/8"]

    monkeypatch.setenv("TUNERY_ALLOW_HOSTS", " other.internal, ::1 ,")
    assert Settings(home=tmp_path).allow_hosts == ["other.internal", "::1"]

    monkeypatch.setenv("TUNERY_ALLOW_HOSTS", "")
    assert Settings(home=tmp_path).allow_hosts == []


def test_the_secret_key_is_not_shown_with_the_other_settings(tmp_path: Path) -> None:
    assert "secret!" not in repr(Settings(home=tmp_path, secret_key="secret!" * 6))


def test_an_empty_variable_serves_no_sqlite_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_SQLITE_FOLDER", "")

    assert Settings(home=tmp_path).sqlite_folder is None


def test_models_in_four_bits_are_listed_with_commas_in_a_variable_and_as_a_list_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tunery.toml").write_text('quantize = ["Qwen/Qwen3-8B"]\n')
    assert Settings(home=tmp_path).quantize == ["Qwen/Qwen3-8B"]

    monkeypatch.setenv("TUNERY_QUANTIZE", "Qwen/Qwen3-4B, house-model")
    assert Settings(home=tmp_path).quantize == ["Qwen/Qwen3-4B", "house-model"]
