"""The parsing of multipart forms with one file in them, as their bytes come."""

from collections.abc import Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tunery.core.errors import InvalidValue

MOST_FIELDS = 64
MOST_FIELD_BYTES = 64 * 1024
_MOST_HEADERS = 16
_MOST_HEADER_BYTES = 8 * 1024


class FormParser:
    """Keeps the fields of a form, and gives the bytes of its one file as they come."""

    def __init__(self, content_type: str, file_field: str) -> None:
        """Parse a body of `content_type`; its part called `file_field` is the file.

        Raises:
            InvalidValue: it is no multipart form.
        """
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.has_file = False
        self._is_whole = False
        self._file_field = file_field
        self._is_file = False
        self._name = ""
        self._value = bytearray()
        self._header = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._pieces: list[memoryview] = []
        self._parser = self._made(content_type)

    def feed(self, chunk: bytes) -> Sequence[memoryview]:
        """What `chunk` holds of the file.

        Raises:
            InvalidValue: the body is not what its content type announces.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _broken(str(error)) from error
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        """Nothing more comes.

        Raises:
            InvalidValue: the body stops before its end, or brings no file.
        """
        if not self._is_whole:
            raise _broken("it stops before its last boundary")
        if not self.has_file:
            raise InvalidValue(
                f"Missing required parameter: '{self._file_field}'.",
                param=self._file_field,
                code="missing_required_parameter",
            )

    def _made(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise InvalidValue(
                f"The content type is {content_type[:80]!r}; send multipart/form-data, "
                "with the boundary that your HTTP client chooses."
            )
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._more_header,
                    "on_header_value": self._more_header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._data_begins,
                    "on_part_data": self._more_data,
                    "on_part_end": self._part_ends,
                    "on_end": self._form_ends,
                },
                max_header_count=_MOST_HEADERS,
                max_header_size=_MOST_HEADER_BYTES,
            )
        except FormParserError as error:
            raise _broken(str(error)) from error

    def _part_begins(self) -> None:
        self._disposition = b""
        self._value.clear()

    def _more_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _more_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header.clear()
        self._header_value.clear()

    def _data_begins(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = _decoded(options.get(b"name", b""), "the name of a part")
        self._is_file = self._name == self._file_field
        if not self._is_file:
            return
        if self.has_file:
            raise _broken(f"it has two parts called {self._file_field!r}")
        self.has_file = True
        if b"filename" in options:
            self.filename = _decoded(options[b"filename"], "the file's name")

    def _more_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(memoryview(data)[start:end])
        elif len(self._value) + end - start > MOST_FIELD_BYTES:
            raise _broken(f"the field {self._name[:80]!r} is longer than {MOST_FIELD_BYTES} bytes")
        else:
            self._value += data[start:end]

    def _part_ends(self) -> None:
        if self._is_file:
            return
        if len(self.fields) >= MOST_FIELDS:
            raise _broken(f"it has more than {MOST_FIELDS} fields")
        if self._name in self.fields:
            raise _broken(f"it has two fields called {self._name[:80]!r}")
        self.fields[self._name] = _decoded(bytes(self._value), f"the field {self._name[:80]!r}")

    def _form_ends(self) -> None:
        self._is_whole = True


def _decoded(text: bytes, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _broken(f"{what} is not UTF-8") from error


def _broken(why: str) -> InvalidValue:
    return InvalidValue(f"The body is no multipart form that can be read: {why}.")
