"""What a JPEG, PNG or WebP file says of itself, before any of its pixels is decoded.

All but what makes the pixels is left out of the file that is decoded: no decoder looks at
profiles, comments, previews and other metadata, in which most of their surprises lie.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PictureFormat = Literal["JPEG", "PNG", "WEBP"]

_MOST_PIECES = 100_000
"""Of the pieces that a file consists of; IDAT chunks of 8 KiB come to 20,000 in a large PNG."""
_MOST_SCANS = 100
"""Of a progressive JPEG; encoders write about ten, and each costs a walk through the picture."""
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_FILL = re.compile(rb"\xff+(?=\xff)")
"""Any number of bytes before a marker (ITU-T T.81, B.1.1.2)."""
_OTHERS = {
    b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF",
    b"<svg": "SVG", b"<?xml": "SVG", b"8BPS": "Photoshop", b"PK\x03\x04": "ZIP",
    b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x0a": "JPEG XL",
}  # fmt: skip
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"avif": "AVIF"}


class BadPicture(Exception):
    """What is wrong with a picture, and what would be right."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that is still to be decoded."""

    format: PictureFormat
    width: int
    height: int
    """Both as they are stored: before the picture is turned upright."""
    orientation: int
    """EXIF's, from 1 (upright) to 8."""
    data: bytes
    """The file, without what does not make the pixels."""


def opened(data: bytes) -> Picture:
    """What `data` is.

    Raises:
        BadPicture: it is no JPEG, PNG or WebP, or its header is damaged.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    raise BadPicture(f"it {_other(data)}; send JPEG, PNG or WebP")


def _other(data: bytes) -> str:
    """What `data` is, where it is no picture that is read here."""
    if not data:
        return "is empty"
    if data[4:8] == b"ftyp" and data[8:12] in _BRANDS:
        return f"is {_BRANDS[data[8:12]]}"
    for beginning, name in _OTHERS.items():
        if data.lstrip()[:16].lower().startswith(beginning.lower()):
            return f"is {name}"
    return "is no picture that is read here"


def _png(data: bytes) -> Picture:
    """PNG specification (third edition), 5.3 and 11.2."""
    kept, width, height, exif = [_PNG], 0, 0, b""
    for kind, chunk in _png_chunks(data):
        body = data[chunk.start + 8 : chunk.stop - 4]
        if kind == b"IHDR" and len(body) == 13:
            width, height = struct.unpack_from(">II", body)
        if kind == b"eXIf":
            exif = body
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            (checksum,) = struct.unpack_from(">I", data, chunk.stop - 4)
            if zlib.crc32(body, zlib.crc32(kind)) != checksum:
                raise BadPicture("it is damaged: a checksum is wrong")
            kept.append(data[chunk])
        if kind == b"IEND":
            return Picture(
                format="PNG",
                width=width,
                height=height,
                orientation=_orientation(exif),
                data=b"".join(kept),
            )
    raise BadPicture("it is cut off")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    offset = len(_PNG)
    for _ in range(_MOST_PIECES):
        if offset + 12 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, offset)
        end = offset + 12 + size
        if end > len(data):
            return
        yield kind, slice(offset, end)
        offset = end
    raise BadPicture(f"it has more than {_MOST_PIECES:,} chunks")


def _jpeg(data: bytes) -> Picture:
    """ITU-T T.81, annex B."""
    kept, width, height, exif = [data[:2]], 0, 0, b""
    for marker, segment in _jpeg_segments(data):
        if marker == 0xDA:
            kept.append(data[segment.start :])
            break
        body = data[segment.start + 4 : segment.stop]
        # Frames of every kind; between them lie other tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and not width:
            if len(body) < 5:
                raise BadPicture("its header is damaged")
            height, width = struct.unpack_from(">HH", body, 1)
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        # JFIF's and Adobe's segments say how colours are stored; the others are metadata.
        if marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[segment])
    if kept[-1].count(b"\xff\xda") > _MOST_SCANS:
        raise BadPicture(f"it has more than {_MOST_SCANS} scans; save it anew")
    return Picture(
        format="JPEG",
        width=width,
        height=height,
        orientation=_orientation(exif.removeprefix(b"Exif\0\0")),
        data=b"".join(kept),
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, slice]]:
    """The segments up to the first scan, which is the last of them."""
    offset = 2
    for _ in range(_MOST_PIECES):
        if (fill := _FILL.match(data, offset)) is not None:
            offset = fill.end()
        if offset + 4 > len(data):
            raise BadPicture("it is cut off")
        sign, marker, size = struct.unpack_from(">BBH", data, offset)
        if sign != 0xFF or size < 2:
            raise BadPicture("its header is damaged")
        end = offset + 2 + size
        if end > len(data):
            raise BadPicture("it is cut off")
        yield marker, slice(offset, end)
        if marker == 0xDA:
            return
        offset = end
    raise BadPicture(f"it has more than {_MOST_PIECES:,} segments")


def _webp(data: bytes) -> Picture:
    """WebP Container Specification, and RFC 9649 for the sizes in VP8 and VP8L."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise BadPicture("it is cut off")
    width, height, exif = 0, 0, b""
    for kind, body in _webp_chunks(data[: size + 8]):
        if not width and (found := _webp_size(kind, data, body)) is not None:
            width, height = found
        if kind == b"EXIF":
            exif = data[body]
    return Picture(
        format="WEBP",
        width=width,
        height=height,
        orientation=_orientation(exif.removeprefix(b"Exif\0\0")),
        data=data,
    )


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    offset = 12
    for _ in range(_MOST_PIECES):
        if offset + 8 > len(data):
            return
        kind, size = struct.unpack_from("<4sI", data, offset)
        yield kind, slice(offset + 8, offset + 8 + size)
        offset += 8 + size + size % 2
    raise BadPicture(f"it has more than {_MOST_PIECES:,} chunks")


def _webp_size(kind: bytes, data: bytes, body: slice) -> tuple[int, int] | None:
    head = data[body.start : body.start + 10]
    if len(head) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _orientation(exif: bytes) -> int:
    """How the picture is to be turned, by its EXIF data (tag 0x0112); 1 where they do not say."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f"{order}I", exif, 4)
        (n_tags,) = struct.unpack_from(f"{order}H", exif, offset)
        for number in range(n_tags):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, offset + 2 + 12 * number)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        # Damaged metadata do not spoil the picture.
        return 1
    return 1
