"""A parent that has done everything slow and forks trainers: `python -m tunery.trainers.warm`.

Importing PyTorch and transformers costs seconds, forking milliseconds. This process holds no model
and computes nothing, since a child forked from a parent that has run a parallel region of OpenMP
hangs for ever. It listens on the Unix socket whose path is its argument; each connection brings
the name of a module and three pipe ends, becomes one child that runs the module with these as
standard input, output and error, and is told its process id and, at the end, its exit code.

It ends when its own standard input closes. Its children watch theirs.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import traceback
from types import FrameType

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from tunery.modeling.compiled import load_kept

_SLOW_IMPORTS = (
    "numpy.ma",  # numba asks for it when it sees its first array
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.masking_utils",
    "tunery.trainers.__main__",
    "tunery.trainers.failures",
    "tunery.trainers.host",
    "tunery.trainers.preflight",
)
_MAIN = {
    "tunery.trainers": "tunery.trainers.__main__",
    "tunery.trainers.preflight": "tunery.trainers.preflight",
}
"""What may be run, and the module whose `main` that is."""
READY = b"ready\n"


def main() -> None:
    """Warm up, listen, say so, and fork until standard input closes."""
    _warm_up()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        _Parent(listener).serve()


def _warm_up() -> None:
    """Import, and make tables that a child would make at its first use of what it imported."""
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)
    get_checkpoint_conversion_mapping("llama")  # makes those of all architectures
    load_kept()


class _Parent:
    """Forks on each connection, and tells it how its child ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connections: dict[int, socket.socket] = {}
        self._waking, self._woken = socket.socketpair()
        for end in (self._waking, self._woken):
            end.setblocking(False)

    def serve(self) -> None:
        # A signal handler is needed, or SIGCHLD would not be written to the wake-up socket.
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._waking.fileno())
        with selectors.DefaultSelector() as selector:
            for source in (self._listener, self._woken, sys.stdin):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if sys.stdin in ready:
                    return
                if self._woken in ready:
                    self._woken.recv(4096)
                    self._bury()
                if self._listener in ready:
                    self._accept(selector)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection, _ = self._listener.accept()
        module, ends, _, _ = socket.recv_fds(connection, 256, 3)
        if len(ends) != 3:
            connection.close()
            return
        try:
            pid = os.fork()
        except OSError:
            # No memory, or too many processes. Who asked sees the connection close, and others
            # may still get a child.
            traceback.print_exc()
            connection.close()
        else:
            if pid == 0:
                selector.close()
                self._become(module.decode(), ends, connection)
            self._connections[pid] = connection
            _tell(connection, pid)
        for end in ends:
            os.close(end)

    def _become(self, module: str, ends: list[int], connection: socket.socket) -> None:
        """Run `module` in this new process, and end with it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._listener, self._waking, self._woken, connection):
            inherited.close()
        for other in self._connections.values():
            other.close()
        for standard, end in enumerate(ends):
            os.dup2(end, standard)
            os.close(end)
        code = 1
        try:
            importlib.import_module(_MAIN[module]).main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            # Whatever it was, it must not return into the parent's loop.
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        """Tell the owners of ended children how they ended."""
        while self._connections:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = self._connections.pop(pid)
            _tell(connection, os.waitstatus_to_exitcode(status))
            connection.close()


def _tell(connection: socket.socket, number: int) -> None:
    try:
        connection.sendall(f"{number}\n".encode())
    except ConnectionError:
        # The child's owner has gone; nobody wants to know.
        return


def _ignore(number: int, frame: FrameType | None) -> None:
    """The wake-up socket has the news."""


if __name__ == "__main__":
    main()
