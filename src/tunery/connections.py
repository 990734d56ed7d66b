"""The HTTP protocol of the server's connections, with an end to how much a request's head holds."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
"""Request line and headers together; the parser itself would take any number of them."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request never comes to its body, before anybody knows its key."""

    _n_head_bytes = 0
    _is_in_head = False

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Refuse what is still no whole head after so many bytes."""
        began_before = self._is_in_head
        super().data_received(data)
        goes_on = began_before and self._is_in_head
        self._n_head_bytes = self._n_head_bytes + len(data) if goes_on else 0
        if self._n_head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too large.")
