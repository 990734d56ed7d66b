"""Pictures and archives to read, good ones and others."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(width: int = 32, height: int = 16) -> Image.Image:
    """Red and green above, blue and white below: upright only in one way."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def saved(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    """`image` as a file of that format."""
    written = io.BytesIO()
    image.save(written, form, **how)
    return written.getvalue()


def a_png() -> bytes:
    return saved(quarters())


def a_jpeg() -> bytes:
    return saved(quarters(), "JPEG", quality=95)


def a_webp() -> bytes:
    return saved(quarters(), "WEBP", lossless=True)


def zipped(files: Mapping[str, bytes | str]) -> bytes:
    """An ordinary archive."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()


def unzipped(archive: bytes) -> dict[str, bytes]:
    """Names and contents, in the order in which they are stored."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def deflated(data: bytes) -> bytes:
    deflating = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


@dataclass(frozen=True, kw_only=True)
class Raw:
    """An entry that says of itself what it likes."""

    name: bytes = b"a.png"
    data: bytes = field(default_factory=a_png)
    """As it lies in the archive."""
    size: int | None = None
    checksum: int | None = None
    method: int = 0
    flags: int = 0x800
    mode: int = 0o100644
    at: int | None = None
    """Where the table says that it lies; None: where it does."""
    in_file: bool = True
    """Whether its header and data are there, or only its line in the table."""


def raw_archive(*entries: Raw, n_said: int | None = None) -> bytes:
    """An archive with `entries`, which the end of the table says are `n_said`."""
    body, table = b"", b""
    for each in entries:
        size = len(each.data) if each.size is None else each.size
        checksum = zlib.crc32(each.data) if each.checksum is None else each.checksum
        sizes = struct.pack("<III", checksum, len(each.data), size)
        head = struct.pack("<HHHHH", 20, each.flags, each.method, 0, 0x21) + sizes
        offset = len(body) if each.at is None else each.at
        if each.in_file:
            body += b"PK\x03\x04" + head + struct.pack("<HH", len(each.name), 0)
            body += each.name + each.data
        table += b"PK\x01\x02" + struct.pack("<H", 0x0314) + head
        table += struct.pack("<HHHHHII", len(each.name), 0, 0, 0, 0, each.mode << 16, offset)
        table += each.name
    return body + table + end_of_table(len(entries) if n_said is None else n_said, table, body)


def end_of_table(n_said: int, table: bytes, body: bytes) -> bytes:
    counts = struct.pack("<HHHHII", 0, 0, n_said, n_said, len(table), len(body))
    return b"PK\x05\x06" + counts + b"\0\0"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, *, colour: int = 2) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))


def png_of(width: int, height: int, *chunks: bytes, colour: int = 2) -> bytes:
    """A PNG file that says this size, and has these chunks and no others but the end."""
    header = png_header(width, height, colour=colour)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF data that say nothing but how the picture is turned."""
    mark = b"II" if order == "<" else b"MM"
    tags = struct.pack(f"{order}HIH", 42, 8, 1)
    return mark + tags + struct.pack(f"{order}HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
