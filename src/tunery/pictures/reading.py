"""The `PictureReader` port with Pillow: archives of pictures, and single ones."""

import io
import threading
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from tunery.core.errors import InvalidValue, Unavailable
from tunery.core.picture_sets import MOST_PICTURES, PictureSet
from tunery.pictures import archives, decoding, headers
from tunery.pictures.archives import Entry, Refused, shown
from tunery.pictures.headers import BadPicture

MOST_PICTURE_BYTES = 64 * 1024**2
"""Of one picture in an archive."""
LONGEST_CAPTION = 2_000
MOST_AT_ONCE = 2
"""Callers whose pictures are decoded at the same time; each may take some hundred megabytes."""
MOST_WAITING = 22
"""Callers who wait for that. Each holds a thread, and all requests together have forty."""
LONGEST_WAIT_S = 60.0

_LARGEST_SINGLE = 4 * decoding.MEGAPIXEL
_ARCHIVE = "file_data"
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_CAPTION = ".txt"
_ARCHIVES = frozenset(
    {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".jar", ".cbz"}
)
_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a ZIP can say."""
_READABLE = 0o600 << 16


class ArchiveReader:
    """Reads pictures for at most `MOST_AT_ONCE` callers at a time; a few others may wait."""

    def __init__(self, *, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        """`longest_wait_s` is how long one waits before it is told to try again."""
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE + MOST_WAITING)
        self._turns = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._longest_wait_s = longest_wait_s

    def read_set(self, archive: bytes) -> PictureSet:
        """The pictures and captions in a ZIP, by path; of an animated one the first frame.

        Raises:
            InvalidValue: it is none, or something in it is no picture or caption; `param` is
                "file_data", and the message names the entry.
            Unavailable: too many callers are before this one.
        """
        with self._turn():
            try:
                return _picture_set(archive)
            except Refused as reason:
                raise InvalidValue(f"{_ARCHIVE}: {reason}", param=_ARCHIVE) from reason

    def read_picture(self, data: bytes, *, param: str) -> bytes:
        """One picture, upright and RGB, as PNG; above four megapixels it is reduced to that.

        Raises:
            InvalidValue: it is none; with this `param`.
            Unavailable: too many callers are before this one.
        """
        return self._single(data, param, mode="RGB", ground="white")

    def read_mask(self, data: bytes, *, param: str) -> bytes:
        """One picture in shades of gray, upright, as PNG; where it is transparent it is black.

        It is reduced, and raises, as `read_picture`.
        """
        return self._single(data, param, mode="L", ground="black")

    def read_transparency(self, data: bytes, *, param: str) -> bytes | None:
        """The mask in a picture: white where it is transparent; None where that is nowhere.

        It has the size of what `read_picture` makes of the same bytes, and raises as that does.
        """
        with self._turn():
            try:
                picture = headers.opened(data)
                clear = decoding.transparency(picture, most_pixels=_LARGEST_SINGLE)
            except BadPicture as reason:
                raise InvalidValue(f"{param} cannot be used: {reason}", param=param) from reason
            return None if clear is None else decoding.png(clear)

    def size(self, picture: bytes) -> tuple[int, int]:
        """Width and height of a picture that was read before."""
        read = headers.opened(picture)
        return read.width, read.height

    def _single(self, data: bytes, param: str, *, mode: str, ground: str) -> bytes:
        with self._turn():
            try:
                picture = headers.opened(data)
                image = decoding.rgb(picture, most_pixels=_LARGEST_SINGLE, ground=ground)
            except BadPicture as reason:
                raise InvalidValue(f"{param} cannot be used: {reason}", param=param) from reason
            return decoding.png(image.convert(mode))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise _too_many()
        try:
            if not self._turns.acquire(timeout=self._longest_wait_s):
                raise _too_many()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def _too_many() -> Unavailable:
    return Unavailable("Too many pictures are being read at the moment; try again.")


def _picture_set(archive: bytes) -> PictureSet:
    entries = archives.entries(archive)
    pictures = [each for each in entries if _is_picture(each)]
    captions = _captions(entries, pictures)
    if not pictures:
        raise Refused("there is no picture in the archive; put 1 to 20 JPEG, PNG or WebP into it")
    if len(pictures) > MOST_PICTURES:
        return PictureSet(
            archive=_written((f"{number:04}.png", b"") for number, _ in _numbered(pictures)),
            n_pictures=len(pictures),
            n_captions=len(captions),
        )
    texts = {path: _text(archive, caption) for path, caption in captions.items()}
    return PictureSet(
        archive=_written(_files(archive, pictures, texts)),
        n_pictures=len(pictures),
        n_captions=sum(bool(text) for text in texts.values()),
    )


def _is_picture(entry: Entry) -> bool:
    """Whether it is to be one; Refused where it can be neither that nor a caption."""
    ending = PurePosixPath(entry.path).suffix.lower()
    if ending in _PICTURES:
        return True
    if ending in _ARCHIVES:
        raise Refused(
            f"{entry.shown} is an archive in the archive; put what is in it into this one"
        )
    if ending != _CAPTION:
        raise Refused(
            f"{entry.shown} cannot be read; send pictures (.jpg, .jpeg, .png, .webp) and their "
            "captions (.txt)"
        )
    return False


def _captions(entries: Sequence[Entry], pictures: Sequence[Entry]) -> Mapping[str, Entry]:
    """The caption of each picture that has one, by the picture's path."""
    named: dict[str, list[str]] = {}
    for picture in pictures:
        named.setdefault(_stem(picture), []).append(picture.path)
    found: dict[str, Entry] = {}
    for caption in entries:
        if PurePosixPath(caption.path).suffix.lower() != _CAPTION:
            continue
        of = named.get(_stem(caption), [])
        if not of:
            raise Refused(
                f"{caption.shown} is a caption without a picture; name it as its picture, such as "
                "cat.txt for cat.jpg"
            )
        if len(of) > 1:
            which = " and ".join(map(shown, of))
            raise Refused(f"{caption.shown} may be the caption of {which}; rename one of these")
        if of[0] in found:
            raise Refused(f"{caption.shown} is the second caption of {shown(of[0])}; leave one")
        found[of[0]] = caption
    return found


def _stem(entry: Entry) -> str:
    return str(PurePosixPath(entry.path).with_suffix(""))


def _text(archive: bytes, caption: Entry) -> str:
    """A caption on one line; empty where it says nothing."""
    # Four bytes are the most that a character has in UTF-8; the last three are a byte order mark.
    data = caption.read(archive, most_bytes=4 * LONGEST_CAPTION + 3)
    try:
        text = " ".join(data.decode("utf-8-sig").split())
    except UnicodeDecodeError as reason:
        raise Refused(
            f"{caption.shown} is not UTF-8 (byte {reason.start + 1}); save it as UTF-8"
        ) from reason
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise Refused(f"{caption.shown} has a control character in it; a caption is plain text")
    if len(text) > LONGEST_CAPTION:
        raise Refused(
            f"{caption.shown} has {len(text):,} characters; a caption has at most "
            f"{LONGEST_CAPTION:,}"
        )
    return text


def _files(
    archive: bytes, pictures: Sequence[Entry], texts: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Pictures and captions under the names that they are kept by."""
    for number, picture in _numbered(pictures):
        yield f"{number:04}.png", _reduced(archive, picture)
        if text := texts.get(picture.path):
            yield f"{number:04}.txt", text.encode()


def _numbered(pictures: Sequence[Entry]) -> Iterable[tuple[int, Entry]]:
    return enumerate(pictures, start=1)


def _reduced(archive: bytes, entry: Entry) -> bytes:
    """A picture of an archive as PNG, of a megapixel at most."""
    data = entry.read(archive, most_bytes=MOST_PICTURE_BYTES)
    if archives.is_archive(data):
        raise Refused(
            f"{entry.shown} is an archive in the archive; put what is in it into this one"
        )
    try:
        image = decoding.rgb(headers.opened(data), most_pixels=decoding.MEGAPIXEL)
    except BadPicture as reason:
        raise Refused(f"{entry.shown} cannot be used: {reason}") from reason
    return decoding.png(image)


def _written(files: Iterable[tuple[str, bytes]]) -> bytes:
    """An archive with `files`, the same bytes whenever it is written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as written:
        for name, data in files:
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = _READABLE
            written.writestr(info, data)
    return buffer.getvalue()
