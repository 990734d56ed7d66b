"""Secrets at rest, and signatures."""

import base64
import hmac
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.core.errors import InvalidValue
from tunery.core.ports import Sealer
from tunery.sealing import AesSealer, HmacSigner

KEY = base64.b64encode(bytes(range(32))).decode()
URI = "postgresql://ann:s3cret@db.example/shop"


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return AesSealer(tmp_path)


@given(secret=st.text() | st.just("\ud800"), bound_to=st.text(max_size=60))
def test_what_was_sealed_for_a_row_opens_for_it(secret: str, bound_to: str) -> None:
    sealer = AesSealer(Path("nowhere"), KEY)

    sealed = sealer.seal(secret, bound_to=bound_to)

    assert sealer.is_sealed(sealed)
    assert sealer.open(sealed, bound_to=bound_to) == secret


def test_a_sealed_text_shows_the_row_and_nothing_of_the_secret(sealer: Sealer) -> None:
    sealed = sealer.seal(URI, bound_to="65f0000000000000000000b1")

    assert sealed.startswith("tunery-sealed:1:")
    assert ":65f0000000000000000000b1:" in sealed
    assert "s3cret" not in sealed
    assert base64.b64encode(URI.encode()).decode()[:12] not in sealed


def test_the_same_secret_is_never_sealed_to_the_same_text(sealer: Sealer) -> None:
    assert len({sealer.seal(URI, bound_to="a") for _ in range(100)}) == 100


def test_it_opens_for_no_other_row(sealer: Sealer) -> None:
    sealed = sealer.seal(URI, bound_to="a")

    with pytest.raises(InvalidValue, match="belongs to something else"):
        sealer.open(sealed, bound_to="b")
    with pytest.raises(InvalidValue, match="was changed"):
        sealer.open(sealed.replace(":a:", ":b:"), bound_to="b")


@pytest.mark.parametrize("at", [-2, -20, -30])
def test_a_changed_letter_opens_nothing(sealer: Sealer, at: int) -> None:
    sealed = sealer.seal(URI, bound_to="a")
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]

    with pytest.raises(InvalidValue):
        sealer.open(changed, bound_to="a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        URI,
        "tunery-sealed:",
        "tunery-sealed:1:::",
        "tunery-sealed:1:00000000:a:",
        "tunery-sealed:2:00000000:a:AAAAAAAAAAAAAAAAAAAA",
        "tunery-sealed:1:00000000:a:AAAAAAAAAAAAAAAAAAAA",
        "tunery-sealed:1:00000000:a:***",
        "tunery-sealed:1:00000000:a:é",
        "tunery-sealed:1:00000000:a:b:c:d",
    ],
)
def test_what_was_not_sealed_here_does_not_open(sealer: Sealer, text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        sealer.open(text, bound_to="a")

    assert "s3cret" not in str(refused.value)


def test_another_installations_text_is_refused_by_the_name_of_its_key(tmp_path: Path) -> None:
    ours, theirs = AesSealer(tmp_path), AesSealer(tmp_path, KEY)

    with pytest.raises(InvalidValue, match=r"sealed with the key [0-9a-f]{8}, and this"):
        ours.open(theirs.seal(URI, bound_to="a"), bound_to="a")


def test_plain_text_is_not_taken_for_sealed(sealer: Sealer) -> None:
    assert not sealer.is_sealed(URI)
    assert not sealer.is_sealed("")


def test_the_key_is_made_at_first_use_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    sealer = AesSealer(tmp_path)
    assert list(tmp_path.iterdir()) == []

    sealed = sealer.seal(URI, bound_to="a")

    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert AesSealer(tmp_path).open(sealed, bound_to="a") == URI


def test_an_operators_key_is_taken_and_written_nowhere(tmp_path: Path) -> None:
    sealed = AesSealer(tmp_path, KEY).seal(URI, bound_to="a")

    assert AesSealer(tmp_path, KEY.replace("+", "-").replace("/", "_")).open(
        sealed, bound_to="a"
    ) == (URI)
    assert list(tmp_path.iterdir()) == []


def test_all_who_begin_together_seal_with_one_key(tmp_path: Path) -> None:
    sealers = [AesSealer(tmp_path) for _ in range(8)]
    sealed: list[str] = []
    threads = [
        threading.Thread(target=lambda each=each: sealed.append(each.seal(URI, bound_to="a")))
        for each in sealers
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(sealed) == 8
    assert {AesSealer(tmp_path).open(each, bound_to="a") for each in sealed} == {URI}
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("key", ["", "tr0ub4dor", KEY[:-4], KEY * 2, "é" * 44, "*" * 44])
def test_a_key_of_the_wrong_form_is_refused_before_anything_starts(
    tmp_path: Path, key: str
) -> None:
    with pytest.raises(InvalidValue, match=r"TUNERY_SECRET_KEY.*32 bytes") as refused:
        AesSealer(tmp_path, key)

    assert not key or key not in str(refused.value)


def test_a_key_file_that_was_cut_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("AAAA\n")

    with pytest.raises(InvalidValue, match=r"secret\.key.*32 bytes"):
        AesSealer(tmp_path)


def test_a_signature_is_of_one_text_and_one_installation(tmp_path: Path) -> None:
    ours, theirs = HmacSigner(tmp_path), HmacSigner(tmp_path, KEY)
    signature = ours.sign("a")

    assert ours.is_signed("a", signature)
    assert HmacSigner(tmp_path).is_signed("a", signature)
    assert not ours.is_signed("b", signature)
    assert not theirs.is_signed("a", signature)
    assert not ours.is_signed("a", signature.upper())
    assert not ours.is_signed("a", f"{signature}é")


def test_what_signs_is_another_key_than_what_seals() -> None:
    # HKDF by hand (RFC 5869): extract with no salt, expand to one block.
    key = hmac.digest(bytes(32), base64.b64decode(KEY), "sha256")
    signing = hmac.digest(key, b"tunery signatures 1\x01", "sha256")

    signature = HmacSigner(Path("nowhere"), KEY).sign("text")

    assert signature == hmac.digest(signing, b"text", "sha256").hex()
    assert signature != hmac.digest(base64.b64decode(KEY), b"text", "sha256").hex()


def test_whoever_seals_and_whoever_signs_make_one_key_together(tmp_path: Path) -> None:
    sealer, signer = AesSealer(tmp_path), HmacSigner(tmp_path)

    signature = signer.sign("a")
    sealed = sealer.seal(URI, bound_to="a")

    assert HmacSigner(tmp_path).is_signed("a", signature)
    assert AesSealer(tmp_path).open(sealed, bound_to="a") == URI
