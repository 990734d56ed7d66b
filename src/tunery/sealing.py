"""What the installation's secret key does: it seals secrets at rest, and it signs.

The `Sealer` port is AES-256-GCM (NIST SP 800-38D). A sealed text is
`tunery-sealed:1:<key>:<bound to>:<nonce and ciphertext>`. All before the last part is authenticated
with it, and so is the row that it belongs to: moved to another row, it opens nothing.

The `Signer` port is HMAC-SHA256 with a key of its own, derived by HKDF (RFC 5869).
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tunery.core.errors import InvalidValue

_PREFIX = "tunery-sealed:"
_VERSION = "1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_SIGNING = b"tunery signatures 1"
"""What the derived key is for; another purpose has another."""


class AesSealer:
    """The `Sealer` port over one key."""

    def __init__(self, home: Path, secret_key: str | None = None) -> None:
        """The key is `secret_key`, or the one in `secret.key` in `home`; made at first use.

        Raises:
            InvalidValue: the key is not the base64 of 32 bytes.
        """
        self._key = _SecretKey(home, secret_key)

    def seal(self, secret: str, *, bound_to: str) -> str:
        """`secret`, readable again only by `open` with the same `bound_to`."""
        key, nonce = self._key.get(), secrets.token_bytes(_NONCE_BYTES)
        head = _head(key, bound_to)
        sealed = AESGCM(key).encrypt(nonce, _encoded(secret), head.encode())
        return head + base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, bound_to: str) -> str:
        """The secret.

        Raises:
            InvalidValue: it was not sealed here, or not for that.
        """
        key, (key_id, bound, body) = self._key.get(), _parts(sealed)
        if bound != bound_to:
            raise InvalidValue("The sealed text belongs to something else.")
        if key_id != _key_id(key):
            raise InvalidValue(
                f"The text was sealed with the key {key_id}, and this installation has "
                f"{_key_id(key)}: another installation sealed it, or its secret key was lost."
            )
        try:
            opened = AESGCM(key).decrypt(
                body[:_NONCE_BYTES], body[_NONCE_BYTES:], _head(key, bound_to).encode()
            )
        except InvalidTag:
            raise InvalidValue("The sealed text was changed after it was sealed.") from None
        return opened.decode(errors="surrogatepass")

    def is_sealed(self, text: str) -> bool:
        """Whether `text` looks like something that `seal` made."""
        return text.startswith(_PREFIX)


class HmacSigner:
    """The `Signer` port over one key."""

    def __init__(self, home: Path, secret_key: str | None = None) -> None:
        """The key is derived from that of `AesSealer`; raises as it does."""
        self._key = _SecretKey(home, secret_key)

    def sign(self, text: str) -> str:
        """The signature of `text` by this installation, as hexadecimal digits."""
        key = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_SIGNING).derive(self._key.get())
        return hmac.new(key, _encoded(text), "sha256").hexdigest()

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether `signature` is that of `text`; takes as long wherever they differ."""
        return hmac.compare_digest(_encoded(self.sign(text)), _encoded(signature))


class _SecretKey:
    """The key of an operator's, or the one in a file, made where there is none."""

    def __init__(self, home: Path, secret_key: str | None) -> None:
        self._file = home / "secret.key"
        self._lock = threading.Lock()
        self._key: bytes | None = None
        if secret_key is not None:
            self._key = _decoded(secret_key, "secret_key (TUNERY_SECRET_KEY)")
        elif self._file.exists():
            self._key = _read(self._file)

    def get(self) -> bytes:
        """Its bytes, on disk by now."""
        with self._lock:
            if self._key is None:
                _make(self._file)
                self._key = _read(self._file)
            return self._key


def _encoded(text: str) -> bytes:
    """Any text there is, also what is no Unicode."""
    return text.encode(errors="surrogatepass")


def _head(key: bytes, bound_to: str) -> str:
    return f"{_PREFIX}{_VERSION}:{_key_id(key)}:{quote(bound_to, safe='')}:"


def _key_id(key: bytes) -> str:
    """By which a key is known, and which tells nothing of it."""
    return hashlib.sha256(b"tunery key id" + key).hexdigest()[:8]


def _parts(sealed: str) -> tuple[str, str, bytes]:
    """Key, row and body of a sealed text."""
    if not sealed.startswith(f"{_PREFIX}{_VERSION}:") or sealed.count(":") != 4:
        raise InvalidValue("The text is not a sealed one.")
    _, _, key_id, bound_to, body = sealed.split(":")
    try:
        raw = base64.b64decode(body, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValue("The sealed text was cut or changed.") from None
    if len(raw) < _NONCE_BYTES:
        raise InvalidValue("The sealed text was cut.")
    return key_id, unquote(bound_to), raw


def _make(file: Path) -> None:
    """Leave a new key in `file`, for its owner alone; one that is there already stays.

    The key is on disk before anything is sealed with it.
    """
    pending = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    text = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    descriptor = os.open(pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as written:
        written.write(f"{text}\n")
        written.flush()
        os.fsync(written.fileno())
    # Not a rename: of two processes that begin together the first one's key holds.
    with suppress(FileExistsError):
        os.link(pending, file)
    pending.unlink()
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path) -> bytes:
    return _decoded(file.read_text().strip(), str(file))


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise InvalidValue(
            f"The key in {where} is not the base64 of {_KEY_BYTES} bytes; "
            "`openssl rand -base64 32` makes one.",
            param="secret_key",
        )
    return key
