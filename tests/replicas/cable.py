"""A line between a server and Redis that can be cut: what is sent over it then is lost, and neither end is told."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

LOOK = 0.05


class Cable:
    """Forwards connections from a port of its own to `port` while it is whole. It ends with the block that it is used in."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        self.there = ("127.0.0.1", port)
        self.is_cut = threading.Event()
        self.is_over = threading.Event()

    def __enter__(self) -> Cable:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.listener.close()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self.listener.accept()
                threading.Thread(target=self.forward, args=(here,), daemon=True).start()

    def forward(self, here: socket.socket) -> None:
        """Forwards one connection. Once cut, it never forwards again: on a real network, too, what was lost is missing."""
        with here, socket.create_connection(self.there) as there, selectors.DefaultSelector() as both, contextlib.suppress(OSError):
            both.register(here, selectors.EVENT_READ, there)
            both.register(there, selectors.EVENT_READ, here)
            while not self.is_over.is_set():
                for key, _ in both.select(LOOK):
                    data = key.fileobj.recv(1 << 16)
                    if not data:
                        return
                    if self.is_cut.is_set():
                        return self.lose(here)
                    key.data.sendall(data)

    def lose(self, here: socket.socket) -> None:
        """Holds a connection that is answered no more."""
        with contextlib.suppress(OSError):
            while here.recv(1 << 16):
                pass
