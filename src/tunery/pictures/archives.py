"""A ZIP archive from outside: its entries, checked, and the bytes of one at a time.

Only the table of contents is left to `zipfile`: that of Python 3.11 inflates bzip2 and LZMA without
a bound, and does not see entries that share their bytes.
"""

import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_ENTRIES = 1_000
"""Folders and what is skipped included."""

_ENTRY_IN_TABLE = b"PK\x01\x02"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LONGEST_SHOWN = 120
_LONGEST_PATH = 1_024
_IS_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 99: "AES"}
_DRIVE = re.compile(r"[A-Za-z]:")
_CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


class Refused(Exception):
    """What is wrong with the archive, or with one of its entries, and what would be right."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file in an archive."""

    path: str
    """Its folders and name, joined with `/`."""
    size_bytes: int
    """As the archive says."""
    _is_deflated: bool
    _start: int
    _end: int
    _checksum: int

    @property
    def shown(self) -> str:
        """The path as messages have it."""
        return shown(self.path)

    def read(self, archive: bytes, *, most_bytes: int) -> bytes:
        """Its bytes; of one that is larger no more than `most_bytes` are ever inflated.

        Raises:
            Refused: it is larger, or damaged.
        """
        if self.size_bytes > most_bytes:
            raise Refused(
                f"{self.shown} has {self.size_bytes:,} bytes; at most {most_bytes:,} are read"
            )
        kept = memoryview(archive)[self._start : self._end]
        data = self._inflated(kept) if self._is_deflated else bytes(kept)
        if len(data) != self.size_bytes:
            raise Refused(
                f"{self.shown} is not as large as the archive says ({self.size_bytes:,} bytes); "
                "the archive is damaged"
            )
        if zlib.crc32(data) != self._checksum:
            raise Refused(f"{self.shown} is damaged: its checksum is wrong; make the archive anew")
        return data

    def _inflated(self, kept: memoryview) -> bytes:
        """At most a byte more than the archive says."""
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return inflating.decompress(kept, self.size_bytes + 1)
        except zlib.error as damage:
            raise Refused(f"{self.shown} is damaged ({damage}); make the archive anew") from damage


def entries(archive: bytes) -> list[Entry]:
    """The files in `archive` by path, without folders and what operating systems add.

    Raises:
        Refused: it is no ZIP archive, or an entry is none that is read here.
    """
    table = _table(archive)
    files = [_entry(archive, info) for info in table if not _is_skipped(_checked_path(info))]
    _check_apart(archive, table)
    found: dict[str, Entry] = {}
    for file in files:
        if file.path in found:
            raise Refused(f"{file.shown} is in the archive twice; each file has its own name")
        found[file.path] = file
    return [found[path] for path in sorted(found)]


def shown(path: str) -> str:
    """A path as messages have it: quoted, escaped, and not longer than a line."""
    cut = path if len(path) <= _LONGEST_SHOWN else path[:_LONGEST_SHOWN] + "…"
    return repr(cut)


def is_archive(data: bytes) -> bool:
    """Whether `data` begins as some archive does."""
    return data.startswith(
        (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf\x27\x1c")
    )


def _table(archive: bytes) -> list[zipfile.ZipInfo]:
    """The table of contents."""
    # Counted where they lie: what the archive says of itself need not be true, and each entry
    # would become an object.
    n_entries = archive.count(_ENTRY_IN_TABLE)
    if n_entries > MOST_ENTRIES:
        raise Refused(f"the archive has {n_entries:,} entries; at most {MOST_ENTRIES:,} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return opened.infolist()
    # With a directory that is damaged, or made to be.
    except (
        zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, OSError,
        struct.error,
    ) as reason:  # fmt: skip
        what = "is a damaged ZIP archive" if archive.startswith(b"PK") else "is no ZIP archive"
        raise Refused(f"it {what} ({reason}); send a ZIP archive of pictures") from reason


def _checked_path(info: zipfile.ZipInfo) -> str:
    """The path of an entry, in a plain form; `Refused` where it leads out of the archive."""
    # `filename` ends at a NUL.
    name = info.orig_filename
    folders = name.split("/")
    if len(name) > _LONGEST_PATH:
        raise Refused(
            f"{shown(name)} has a name of {len(name):,} characters; at most {_LONGEST_PATH:,} are "
            "read"
        )
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise Refused(f"{shown(name)} has a control character in its name; rename it")
    if "\\" in name:
        raise Refused(f"{shown(name)} has a backslash in its name; folders are written with /")
    if name.startswith("/") or _DRIVE.match(name):
        raise Refused(f"{shown(name)} is an absolute path; names are relative to the archive")
    if ".." in folders:
        raise Refused(f"{shown(name)} leads out of the archive; leave .. out of names")
    path = "/".join(folder for folder in folders if folder not in ("", "."))
    return f"{path}/" if name.endswith("/") or not path else path


def _is_skipped(path: str) -> bool:
    """Whether it is a folder, or nothing that the caller knows of: macOS's and Windows' own."""
    if path.endswith("/"):
        return True
    folders = path.split("/")
    return any(each.startswith(".") or each.lower() in _CLUTTER for each in folders)


def _entry(archive: bytes, info: zipfile.ZipInfo) -> Entry:
    path = _checked_path(info)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if kind == stat.S_IFLNK else "a special file"
        raise Refused(f"{shown(path)} is {what}; put the picture itself into the archive")
    if info.flag_bits & _IS_ENCRYPTED:
        raise Refused(f"{shown(path)} is encrypted; make the archive without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise Refused(f"{shown(path)} is compressed with {method}; only Deflate is read")
    start, end = _place(archive, info)
    return Entry(
        path=path,
        size_bytes=info.file_size,
        _is_deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        _start=start,
        _end=end,
        _checksum=info.CRC,
    )


def _place(archive: bytes, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of an entry begin and end; they are cut off where the archive ends."""
    try:
        signature, name, extra = _LOCAL_HEADER.unpack_from(archive, max(info.header_offset, 0))
    except struct.error:
        signature = b""
    if info.header_offset < 0 or signature != b"PK\x03\x04":
        path = shown(info.orig_filename)
        raise Refused(f"{path} is not where the archive says; the archive is damaged")
    start = info.header_offset + _LOCAL_HEADER.size + name + extra
    return start, start + info.compress_size


def _check_apart(archive: bytes, table: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse entries that share bytes: by these a small archive holds any number of large ones."""
    reached = 0
    for info, (_, end) in _by_place(archive, table):
        if info.header_offset < reached or end > len(archive):
            path = shown(info.orig_filename)
            raise Refused(f"{path} overlaps what is next to it; the archive is damaged")
        reached = end


def _by_place(
    archive: bytes, table: Iterable[zipfile.ZipInfo]
) -> Iterator[tuple[zipfile.ZipInfo, tuple[int, int]]]:
    for info in sorted(table, key=lambda each: each.header_offset):
        yield info, _place(archive, info)
