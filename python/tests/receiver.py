"""A receiver of frames, as small as it gets: what parselog keeps a log of, this keeps in a list."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from typing import Any, Callable

PATIENCE = 60.0


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


class Receiver:
    """Listens until it is stopped. One that was stopped can be started again, at the same address. It acknowledges
    what it has read, to whoever wants it, as long as `acknowledges` is set."""

    def __init__(self, path: str | None = None, reads: bool = True) -> None:
        self.acknowledges = threading.Event()
        self.acknowledges.set()
        self.connections: list[list[dict[str, Any]]] = []
        self.reads = threading.Event()
        self.path = path
        self.port = 0
        if reads:
            self.reads.set()
        self.start()

    def start(self) -> None:
        if self.path:
            if os.path.exists(self.path):
                os.unlink(self.path)
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted sockets inherit it: a stalled receiver is full after some hundred records.
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            self.listener.bind(("127.0.0.1", self.port))
            self.port = self.listener.getsockname()[1]
        self.listener.listen()
        self.open: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept, args=(self.listener,), daemon=True)]
        self.threads[0].start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.open.append(connection)
            records: list[dict[str, Any]] = []
            self.connections.append(records)
            thread = threading.Thread(target=self._read, args=(connection, records), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _read(self, connection: socket.socket, records: list[dict[str, Any]]) -> None:
        self.reads.wait()
        position, wants_acks = 0, False
        with connection, connection.makefile("rb") as stream:
            while True:
                try:
                    head = stream.read(4)
                except OSError:
                    return
                if len(head) < 4:
                    return
                body = stream.read(struct.unpack(">I", head)[0])
                record = json.loads(body, parse_constant=_no_constant)
                if position == 0 and "parselog_acks" in record:
                    wants_acks = True
                else:
                    records.append(record)
                position += 4 + len(body)
                if wants_acks and self.acknowledges.is_set():
                    connection.sendall(struct.pack(">Q", position))

    def stop(self) -> None:
        """Hangs up after everything that was sent is read."""
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RD)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(PATIENCE)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for records in list(self.connections) for record in list(records)]

    @property
    def messages(self) -> list[str]:
        return [record["message"] for record in self.records]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.records) >= count)
        return self.records


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
