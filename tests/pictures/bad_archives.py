"""Archives that are refused, and what the refusal says."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable

from tests.pictures.building import (
    Raw,
    a_jpeg,
    a_png,
    a_webp,
    deflated,
    end_of_table,
    png_chunk,
    png_header,
    png_of,
    quarters,
    raw_archive,
    saved,
    zipped,
)

MIB = 1024**2


def beside(name: str, data: bytes | str) -> Callable[[], bytes]:
    """An archive with a good picture, and this."""
    return lambda: zipped({"good.jpg": a_jpeg(), name: data})


def raw(*entries: Raw) -> Callable[[], bytes]:
    """An archive with a good picture, and these."""
    return lambda: raw_archive(Raw(name=b"good.png"), *entries)


def named(name: bytes) -> Callable[[], bytes]:
    """An archive with a picture of this name."""
    return raw(Raw(name=name))


def cut(data: bytes, n_bytes: int) -> bytes:
    return data[:-n_bytes]


def overwritten(data: bytes, at: int, by: bytes) -> bytes:
    return data[:at] + by + data[at + len(by) :]


def tar() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        info = tarfile.TarInfo("a.png")
        archive.addfile(info)
    return written.getvalue()


def noise() -> bytes:
    """A JPEG whose pixels take a few kilobytes."""
    return saved(quarters().effect_spread(8).resize((256, 256)), "JPEG", quality=98)


def progressive(n_scans: int) -> bytes:
    """A progressive JPEG whose last scan is there many times."""
    data = saved(quarters(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * n_scans + data[-2:]


def with_frame(width: int, height: int, *, before: bytes) -> bytes:
    """A JPEG with one more header, which comes first and says this size."""
    size = struct.pack(">HH", width, height)
    frame = b"\xff\xc0\0\x11\x08" + size + b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"
    return before[:2] + frame + before[2:]


def many(n_entries: int, *, n_said: int | None = None) -> bytes:
    """An archive with so many entries in its table."""
    one = raw_archive(Raw(name=b"a.png", data=b""))
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    body, table = one[:start], one[start:end] * n_entries
    return body + table + end_of_table(min(n_said or n_entries, 0xFFFF), table, body)


def bomb(n_mebibytes: int) -> bytes:
    """So many mebibytes of zeros, deflated."""
    deflating = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = bytes(MIB)
    return b"".join(deflating.compress(block) for _ in range(n_mebibytes)) + deflating.flush()


ZEROS = zlib.crc32(bytes(100))

BAD_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    # No archive
    "nothing": (lambda: b"", "no ZIP archive"),
    "words": (lambda: b"hello", "no ZIP archive"),
    "a picture": (a_jpeg, "no ZIP archive"),
    "zero bytes": (lambda: bytes(100_000), "no ZIP archive"),
    "gzip": (lambda: gzip.compress(zipped({"a.png": a_png()})), "no ZIP archive"),
    "tar": (tar, "no ZIP archive"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(50), "no ZIP archive"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\0" + bytes(50), "no ZIP archive"),
    "an archive cut in half": (
        lambda: zipped({"a.png": a_png()})[:100],
        "damaged ZIP archive",
    ),
    "an archive without its last bytes": (
        lambda: cut(zipped({"a.png": a_png()}), 10),
        "damaged ZIP archive",
    ),
    "a table that is none": (
        lambda: zipped({"a.png": a_png()}).replace(b"PK\x01\x02", b"PK\x01\x03"),
        "damaged",
    ),
    "a table longer than the file": (
        lambda: overwritten(
            data := zipped({"a.png": a_png()}), len(data) - 10, b"\xff\xff\xff\x7f"
        ),
        "damaged",
    ),
    "a table that is cut": (
        lambda: overwritten(data := zipped({"a.png": a_png()}), len(data) - 10, b"\x30\0\0\0"),
        "damaged",
    ),
    # Nothing in it
    "an empty archive": (lambda: zipped({}), "no picture in the archive"),
    "only folders": (lambda: zipped({"a/": b"", "a/b/": b""}), "no picture in the archive"),
    "only what macOS adds": (
        lambda: zipped({"__MACOSX/._a.jpg": b"x", ".DS_Store": b"x"}),
        "no picture in the archive",
    ),
    # Too many
    "1,001 entries": (lambda: many(1_001), "1,001 entries; at most 1,000"),
    "a million entries": (lambda: many(1_000_000), "1,000,000 entries; at most 1,000"),
    "a million entries that are said to be one": (
        lambda: many(1_000_000, n_said=1),
        "1,000,000 entries; at most 1,000",
    ),
    # Names
    "a name that leads out": (named(b"../a.png"), "'../a.png' leads out of the archive"),
    "a name that leads out by a folder": (
        named(b"a/../../b.png"),
        "'a/../../b.png' leads out of the archive",
    ),
    "a name that leads out and back": (named(b"a/../b.png"), "'a/../b.png' leads out"),
    "a name that is .. itself": (named(b".."), "'..' leads out of the archive"),
    "a dot file that leads out": (named(b"../.a.png"), "'../.a.png' leads out"),
    "an absolute name": (named(b"/etc/a.png"), "'/etc/a.png' is an absolute path"),
    "the name of a share": (named(b"//server/a.png"), "'//server/a.png' is an absolute path"),
    "a drive": (named(b"C:/a.png"), "'C:/a.png' is an absolute path"),
    "a drive's own folder": (named(b"c:a.png"), "'c:a.png' is an absolute path"),
    "a drive with backslashes": (named(b"C:\\a.png"), "has a backslash in its name"),
    "a backslash": (named(b"a\\b.png"), "'a\\\\b.png' has a backslash in its name"),
    "a backslash that leads out": (named(b"..\\a.png"), "'..\\\\a.png' has a backslash"),
    "a name that goes on and on": (
        named(b"a" * 60_000 + b".png"),
        "has a name of 60,004 characters",
    ),
    "a NUL in a name": (named(b"a.png\0.jpg"), "'a.png\\x00.jpg' has a control character"),
    "a line break in a name": (named(b"a\n.png"), "'a\\n.png' has a control character"),
    "an escape in a name": (named(b"\x1b[31m.png"), "'\\x1b[31m.png' has a control character"),
    "a DEL in a name": (named(b"a\x7f.png"), "'a\\x7f.png' has a control character"),
    "a control character of Latin-1": (named(b"a\xc2\x85.png"), "'a\\x85.png' has a control"),
    "a name that is not UTF-8": (named(b"\xff\xfe.png"), "damaged ZIP archive"),
    "a name without end": (named(b"a" * 60_000), "'" + "a" * 120 + "…'"),
    "one name twice": (raw(Raw(), Raw()), "'a.png' is in the archive twice"),
    "one name twice, once with a dot": (raw(Raw(), Raw(name=b"./a.png")), "'a.png' is in the"),
    "one name twice, once with two strokes": (
        raw(Raw(name=b"a/b.png"), Raw(name=b"a//b.png")),
        "'a/b.png' is in the archive twice",
    ),
    # What is not a file
    "a link": (raw(Raw(data=b"/etc/passwd", mode=0o120777)), "'a.png' is a link"),
    "a pipe": (raw(Raw(mode=0o010644)), "'a.png' is a special file"),
    "a character device": (raw(Raw(mode=0o020644)), "'a.png' is a special file"),
    "a block device": (raw(Raw(mode=0o060644)), "'a.png' is a special file"),
    "a socket": (raw(Raw(mode=0o140644)), "'a.png' is a special file"),
    "a folder with a file's name": (raw(Raw(mode=0o040755)), "'a.png' is a special file"),
    # Encrypted, or compressed by what is not read
    "encrypted": (raw(Raw(flags=0x801)), "'a.png' is encrypted"),
    "strongly encrypted": (raw(Raw(flags=0x841)), "'a.png' is encrypted"),
    "encrypted with AES": (raw(Raw(method=99)), "'a.png' is compressed with AES"),
    "an encrypted table": (raw(Raw(flags=0x2800)), "'a.png' is encrypted"),
    "Deflate64": (raw(Raw(method=9)), "'a.png' is compressed with Deflate64"),
    "a bomb of bzip2": (
        raw(Raw(data=bz2.compress(bytes(100 * MIB)), size=100, checksum=ZEROS, method=12)),
        "'a.png' is compressed with bzip2",
    ),
    "a bomb of LZMA": (
        raw(Raw(data=lzma.compress(bytes(100 * MIB)), size=100, checksum=ZEROS, method=14)),
        "'a.png' is compressed with LZMA",
    ),
    "an unknown method": (raw(Raw(method=77)), "'a.png' is compressed with method 77"),
    # Bombs
    "a bomb that says so": (
        lambda: raw_archive(Raw(data=bomb(200), size=200 * MIB, method=8)),
        "'a.png' has 209,715,200 bytes; at most 67,108,864",
    ),
    "a bomb of four gigabytes that says so": (
        lambda: raw_archive(Raw(data=bomb(1), size=0xFFFFFFFE, method=8)),
        "'a.png' has 4,294,967,294 bytes; at most 67,108,864",
    ),
    "a bomb that says it is small": (
        lambda: raw_archive(Raw(data=bomb(200), size=100, checksum=ZEROS, method=8)),
        "'a.png' is not as large as the archive says (100 bytes)",
    ),
    "a bomb of a caption": (beside("good.txt", bytes(100 * MIB)), "'good.txt' has 104,857,600"),
    "a caption that says it is small": (
        raw(Raw(name=b"good.txt", data=bomb(200), size=100, checksum=ZEROS, method=8)),
        "'good.txt' is not as large as the archive says",
    ),
    "a file smaller than it says": (
        raw(Raw(data=deflated(b"short"), size=5_000, method=8)),
        "'a.png' is not as large as",
    ),
    "two entries that are one": (
        raw(Raw(), Raw(name=b"b.png", at=0, in_file=False)),
        "'b.png' overlaps what is next to it",
    ),
    "an entry within another": (
        lambda: raw_archive(
            Raw(name=b"a.png", data=raw_archive(Raw(name=b"b.png"))[:-90]),
            Raw(name=b"b.png", at=35, in_file=False),
        ),
        "'b.png' overlaps what is next to it",
    ),
    "an entry that ends behind the file": (
        lambda: (data := raw_archive(Raw()))[:30] + b"a.png" + data[data.index(b"PK\x01\x02") :],
        "'a.png'",
    ),
    "an entry that is not where it should be": (
        raw(Raw(at=7)),
        "'a.png' is not where the archive says",
    ),
    "an entry before the file": (
        raw(Raw(at=0xFFFFFF00)),
        "'a.png' is not where the archive says",
    ),
    # Archives in the archive
    "an archive in it": (
        beside("more.zip", zipped({"a.png": a_png()})),
        "'more.zip' is an archive",
    ),
    "a tar in it": (beside("more.tar.gz", b"x"), "'more.tar.gz' is an archive in the archive"),
    "an archive with a picture's name": (
        beside("more.png", zipped({"a.png": a_png()})),
        "'more.png' is an archive in the archive",
    ),
    "gzip with a picture's name": (
        beside("more.jpg", gzip.compress(a_jpeg())),
        "'more.jpg' is an archive in the archive",
    ),
    # Files of other kinds, by name
    **{
        f"{ending} by its name": (beside(f"a/b.{ending}", b"x"), f"'a/b.{ending}' cannot be read")
        for ending in ("gif", "BMP", "tiff", "svg", "heic", "avif", "pdf", "mp4", "json", "csv")
    },
    "a name without an ending": (beside("picture", a_png()), "'picture' cannot be read"),
    "a page": (beside("README.md", "# Pictures"), "'README.md' cannot be read"),
    # Files of other kinds, by content
    "GIF in a JPEG's name": (
        beside("a.jpg", saved(quarters(), "GIF")),
        "'a.jpg' cannot be used: it is GIF",
    ),
    "BMP in a PNG's name": (
        beside("a.png", saved(quarters(), "BMP")),
        "'a.png' cannot be used: it is BMP",
    ),
    "TIFF in a PNG's name": (
        beside("a.png", saved(quarters(), "TIFF")),
        "'a.png' cannot be used: it is TIFF",
    ),
    "JPEG 2000 in a JPEG's name": (
        beside("a.jpg", saved(quarters(), "JPEG2000")),
        "'a.jpg' cannot be used: it is JPEG 2000",
    ),
    "AVIF in a WebP's name": (
        beside("a.webp", saved(quarters(), "AVIF")),
        "'a.webp' cannot be used: it is AVIF",
    ),
    "HEIC in a JPEG's name": (
        beside("a.jpg", b"\0\0\0\x18ftypheic" + bytes(50)),
        "'a.jpg' cannot be used: it is HEIC",
    ),
    "SVG in a PNG's name": (beside("a.png", "<svg/>"), "'a.png' cannot be used: it is SVG"),
    "PDF in a PNG's name": (beside("a.png", b"%PDF-1.7"), "'a.png' cannot be used: it is PDF"),
    "words in a JPEG's name": (
        beside("a.jpg", "hello"),
        "'a.jpg' cannot be used: it is no picture",
    ),
    "an empty picture": (beside("a.jpg", b""), "'a.jpg' cannot be used: it is empty"),
    # Damage
    "a cut JPEG": (
        beside("a.jpg", cut(noise(), 2_000)),
        "'a.jpg' cannot be used: it cannot be decoded",
    ),
    "a JPEG of a header": (beside("a.jpg", noise()[:200]), "'a.jpg' cannot be used: it is cut off"),
    "a JPEG of three bytes": (
        beside("a.jpg", b"\xff\xd8\xff"),
        "'a.jpg' cannot be used: it is cut",
    ),
    "a JPEG with a damaged header": (
        beside("a.jpg", overwritten(a_jpeg(), 20, bytes(20))),
        "'a.jpg' cannot be used: its header",
    ),
    "a JPEG without a size": (
        beside("a.jpg", b"\xff\xd8\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9"),
        "'a.jpg' cannot be used: its header says no size",
    ),
    "a JPEG with hundreds of scans": (
        beside("a.jpg", progressive(150)),
        "'a.jpg' cannot be used: it has more than 100 scans",
    ),
    "a cut PNG": (beside("a.png", cut(a_png(), 30)), "'a.png' cannot be used: it is cut off"),
    "a PNG of a signature": (beside("a.png", a_png()[:8]), "'a.png' cannot be used: it is cut off"),
    "a PNG with a flipped byte": (
        beside("a.png", overwritten(a_png(), 50, b"\xaa\x55")),
        "'a.png' cannot be used: it is dam",
    ),
    "a PNG without pixels": (beside("a.png", png_of(8, 8)), "'a.png' cannot be used: it cannot be"),
    "a PNG whose pixels end too early": (
        beside("a.png", png_of(8, 8, png_chunk(b"IDAT", zlib.compress(bytes(range(200)))[:50]))),
        "'a.png' cannot be used: it cannot be decoded",
    ),
    "a PNG whose pixels do not inflate": (
        beside("a.png", png_of(8, 8, png_chunk(b"IDAT", b"hello"))),
        "'a.png' cannot be used: it cannot be decoded",
    ),
    "a PNG of no width": (
        beside("a.png", png_of(0, 8, png_chunk(b"IDAT", b""))),
        "'a.png' cannot be used: its header",
    ),
    "a PNG of an unknown kind": (
        beside("a.png", png_of(8, 8, png_chunk(b"IDAT", zlib.compress(bytes(500))), colour=5)),
        "'a.png' cannot be used: it cannot be decoded (its header is damaged)",
    ),
    "a PNG without its palette": (
        beside("a.png", png_of(8, 8, png_chunk(b"IDAT", zlib.compress(bytes(72))), colour=3)),
        "'a.png' cannot be used: it cannot be decoded (its header is damaged)",
    ),
    "a PNG with a flood of chunks": (
        beside("a.png", png_of(8, 8, png_chunk(b"IDAT", b"") * 100_001)),
        "'a.png' cannot be used: it has more than 100,000 chunks",
    ),
    "a cut WebP": (beside("a.webp", cut(a_webp(), 10)), "'a.webp' cannot be used: it is cut off"),
    "a WebP of a header": (
        beside("a.webp", b"RIFF\x04\0\0\0WEBP"),
        "'a.webp' cannot be used: its header says no size",
    ),
    "a WebP of zeros": (
        beside("a.webp", overwritten(a_webp(), 30, bytes(len(a_webp()) - 30))),
        "'a.webp' cannot be used: it cannot be decoded",
    ),
    "a wrong checksum": (raw(Raw(checksum=7)), "'a.png' is damaged: its checksum is wrong"),
    "garbage for Deflate": (raw(Raw(data=b"\xff" * 50, method=8)), "'a.png' is damaged"),
    "one bad picture among good ones": (
        lambda: zipped(
            {f"{n:02}.jpg": a_jpeg() for n in range(9)} | {"dir/bad.webp": cut(a_webp(), 10)}
        ),
        "'dir/bad.webp' cannot be used: it is cut off",
    ),
    # Too large
    "a PNG of 30,000 x 30,000": (
        beside("a.png", png_of(30_000, 30_000, png_chunk(b"IDAT", bytes(50)))),
        "'a.png' cannot be used: it has 30,000 x 30,000 pixels; at most 50 megapixels",
    ),
    "a JPEG of 30,000 x 30,000": (
        beside("a.jpg", with_frame(30_000, 30_000, before=a_jpeg())),
        "'a.jpg' cannot be used: it has 30,000 x 30,000 pixels; at most 50 megapixels",
    ),
    "a PNG that says it is small at its end": (
        beside("a.png", png_of(9_000, 9_000, png_chunk(b"IDAT", bytes(50)), png_header(8, 8))),
        "'a.png' cannot be used: its headers say two sizes, 8 x 8 and 9,000 x 9,000 pixels",
    ),
    "a PNG of 30,000 x 30,000 that says it is small at its end": (
        beside("a.png", png_of(30_000, 30_000, png_chunk(b"IDAT", bytes(50)), png_header(8, 8))),
        "'a.png' cannot be used: it cannot be decoded (its header is damaged)",
    ),
    "a JPEG that says it is small at its beginning": (
        beside("a.jpg", with_frame(8, 8, before=with_frame(9_000, 9_000, before=a_jpeg()))),
        "'a.jpg' cannot be used: its headers say two sizes, 8 x 8 and 32 x 16 pixels",
    ),
    "a WebP of 16,384 x 16,384": (
        beside(
            "a.webp", b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0" + bytes(8)
        ),
        "'a.webp' cannot be used: it has 16,384 x 16,384 pixels; at most 25 megapixels",
    ),
    "a PNG of two thousand million pixels a side": (
        beside("a.png", png_of(2**31 - 1, 2**31 - 1)),
        "2,147,483,647 x 2,147,483,647 pixels",
    ),
    "a line": (
        beside("a.png", png_of(20_000, 10)),
        "20,000 x 10 pixels; the longer side may be at most 16",
    ),
    # Captions
    "a caption without a picture": (beside("cat.txt", "a cat"), "'cat.txt' is a caption without a"),
    "a caption in another folder": (
        beside("a/good.txt", "a cat"),
        "'a/good.txt' is a caption without a picture",
    ),
    "captions alone": (lambda: zipped({"cat.txt": "a cat"}), "'cat.txt' is a caption without a"),
    "a caption in Latin-1": (
        beside("good.txt", b"caf\xe9 noir"),
        "'good.txt' is not UTF-8 (byte 4)",
    ),
    "a caption in UTF-16": (
        beside("good.txt", "a cat".encode("utf-16")),
        "'good.txt' is not UTF-8 (byte 1)",
    ),
    "a caption with a NUL": (beside("good.txt", b"a\0cat"), "'good.txt' has a control character"),
    "a long caption": (
        beside("good.txt", "ab " * 1_000),
        "'good.txt' has 2,999 characters; a caption has at most",
    ),
    "a very long caption": (beside("good.txt", "ab " * 5_000), "'good.txt' has 15,000 bytes"),
    "a caption of two pictures": (
        lambda: zipped({"a.jpg": a_jpeg(), "a.png": a_png(), "a.txt": "which?"}),
        "'a.txt' may be the caption of 'a.jpg' and 'a.png'",
    ),
    "two captions of one picture": (
        lambda: zipped({"a.jpg": a_jpeg(), "a.TXT": "one", "a.txt": "two"}),
        "'a.txt' is the second caption of 'a.jpg'",
    ),
}
