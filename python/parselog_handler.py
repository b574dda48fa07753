"""A logging handler that sends every record to parselog, and never breaks or holds up the application.

    logging.getLogger().addHandler(ParselogHandler(service="shop"))

A record is sent as a frame: four bytes of length, big-endian, then one JSON object. The log call writes its
frame to the socket itself, without waiting, so that the record outlives the process. Only what the socket
does not take at once goes into a bounded queue. A thread empties the queue, and that thread alone connects.
What the queue has no room for is counted, and a record in the place of the gap says how much it was.
With `acknowledged=True` a record stays in the queue until parselog has said that it is stored.
Needs Python 3.8 or newer and nothing else.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import selectors
import socket
import struct
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Any

#: The longest object that parselog takes, unless its operator allows more.
MAX_BODY = 1 << 20
#: What a sender begins with that wants to hear what is stored.
HELLO = b'{"parselog_acks": 1}'
#: Seconds without progress after which a connection counts as broken.
CONNECTION_TIMEOUT = 30.0

# What every record has, and what formatters and structlog add to it. Anything else came by `extra=`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "_logger", "_name"}
_SENT = ("name", "levelname", "levelno", "created", "pathname", "lineno", "funcName")
_SENT_IF_KNOWN = ("process", "processName", "threadName", "taskName", "stack_info")
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # some programs would die of SIGPIPE


class ParselogHandler(logging.Handler):
    """Sends records to a port of parselog, such as that of the run whose program this process is.

    - host, port: where parselog listens. A host that begins with "/" is the path of a unix socket. Without
      both, PARSELOG_LOG_HOST and PARSELOG_LOG_PORT decide, which the program of a run has in its environment,
      and then 127.0.0.1 and 9020.
    - service: the name of the application. Its records go into the stream of this name.
    - acknowledged: parselog says what it has stored, and what it has not said is sent again over the next
      connection. So nothing is lost while the process lives and the queue has room, and what was stored but
      not said when a connection broke is stored twice. For the TCP port of `parselog collect` alone: nothing
      is ever said at the port of a run or at a unix socket.
    - queue_records, queue_bytes: how much waits while parselog is away. The last tenth is for errors alone.
    - queue_wait: how many seconds a log call waits for room in a full queue, at most. While nothing is sent,
      only the first call waits.
    - flush_timeout: how many seconds `flush`, and so the exit of the process, waits for the queue, at most.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        service: str | None = None,
        *,
        acknowledged: bool = False,
        queue_records: int = 10_000,
        queue_bytes: int = 16 << 20,
        queue_wait: float = 0.05,
        flush_timeout: float = 2.0,
    ) -> None:
        super().__init__()
        if host is None and port is None:
            host, port = os.environ.get("PARSELOG_LOG_HOST"), int(os.environ.get("PARSELOG_LOG_PORT") or 0)
        self.host = host or "127.0.0.1"
        self.port = port or 9020
        self.service = service
        self.acknowledged = acknowledged
        if acknowledged and self.host.startswith("/"):
            raise ValueError("a unix socket of parselog acknowledges nothing")
        self.queue_records, self.queue_bytes = queue_records, queue_bytes
        self.queue_wait = queue_wait
        self.flush_timeout = flush_timeout
        self._sender = _Sender(self)
        _handlers.add(self)

    @property
    def dropped(self) -> int:
        """How many records of this process found no room in the queue."""
        return self._sender.dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record or queues it. Never raises, and waits for `queue_wait` at most."""
        try:
            frame = _frame(_fields(record, self.service))
            if self._sender.closed:
                self._sender = _Sender(self)
            self._sender.send(frame, record.levelno)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Waits until the system has taken everything, or parselog has acknowledged it, for `flush_timeout` at most."""
        self._sender.flush()

    def close(self) -> None:
        """Flushes, hangs up, and says on stderr how many records are lost. A later record connects anew."""
        lost = self._sender.close()
        if lost and logging.raiseExceptions and sys.stderr:
            sys.stderr.write(f"parselog_handler: {lost} records did not reach {self.host}\n")
        super().close()


class _Sender:
    """The connection of one process, and what waits for it. `_changed` guards all of its state."""

    def __init__(self, settings: ParselogHandler) -> None:
        self.dropped = 0
        self.closed = False
        self._settings = settings
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._unacked: deque[tuple[int, bytes]] = deque()  # sent frames, each behind the byte at which it ends
        self._queued_bytes = 0  # of both
        self._position = 0  # bytes of the whole frames that this connection was sent
        self._heard = b""  # of an acknowledgement that has not arrived whole
        self._last_heard = 0.0
        self._offset = 0  # how much of the first frame in the queue is sent
        self._undeclared = [0, 0]  # dropped records and bytes that no record has told of yet
        self._stalled = False  # somebody waited in vain, and nothing was sent since
        self._timeout = CONNECTION_TIMEOUT
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._direct = False  # the queue is empty, and the socket belongs to log calls, not to the thread

    def send(self, frame: bytes, level: int) -> None:
        with self._changed:
            if not (self._direct and self._socket and self._send_directly(self._socket, frame, level)):
                self._enqueue(frame, level)
            if not self._held:
                return
            self._changed.notify_all()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="parselog", daemon=True)
                with suppress(RuntimeError):  # the interpreter is shutting down: `flush` does its work
                    thread.start()
                    self._thread = thread

    @property
    def _held(self) -> int:
        return len(self._queue) + len(self._unacked)

    def _has_room(self, frame: bytes, level: int) -> bool:
        share = 1.0 if level >= logging.ERROR else 0.9
        most, most_bytes = share * self._settings.queue_records, share * self._settings.queue_bytes
        return not self._held or (self._held < most and self._queued_bytes + len(frame) <= most_bytes)

    def _send_directly(self, sock: socket.socket, frame: bytes, level: int) -> bool:
        """Sends what the socket takes at once and queues the rest. False if it took nothing."""
        self._direct = False  # a signal handler that logs in the middle of this finds the queue
        try:
            self._hear(sock)
            if not self._has_room(frame, level):
                return False
            sent = sock.send(frame, _NO_SIGNAL)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self.hang_up()
            return False
        if sent < len(frame):
            self._queue.appendleft(frame)
            self._queued_bytes += len(frame)
            self._offset = sent
        else:
            self._keep(frame)
        self._direct = not self._queue
        return True

    def _enqueue(self, frame: bytes, level: int) -> None:
        def has_room() -> bool:
            return self._has_room(frame, level)

        if not has_room() and not self._stalled:
            self._stalled = not self._changed.wait_for(has_room, self._settings.queue_wait)
        if has_room():
            self._direct = False
            self._queue.append(frame)
            self._queued_bytes += len(frame)
        else:
            self.dropped += 1
            self._undeclared[0] += 1
            self._undeclared[1] += len(frame)

    def flush(self) -> None:
        deadline = time.monotonic() + self._settings.flush_timeout
        if self._thread is None and self._held:
            self._timeout = self._settings.flush_timeout
            self._run(deadline)
        with self._changed:
            self._stalled = not self._changed.wait_for(lambda: not self._held, deadline - time.monotonic())

    def close(self) -> int:
        """Returns how many records are lost. It does not wait if somebody just did so in vain."""
        if not self._stalled:
            self.flush()
        with self._changed:
            self.closed = True
            self.hang_up()
            self._changed.notify_all()
            return self._held + self._undeclared[0]

    def _run(self, deadline: float = float("inf")) -> None:
        """Empties the queue: for ever in the thread, once in `flush` if there is no thread."""
        pause = 0.0
        while time.monotonic() < deadline:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self.closed or self._thread is None)
                if self.closed or not self._held:
                    break
                awaited = self._socket if self._unacked and not self._queue else None
            try:
                if awaited:
                    self._wait_for_acks(awaited)
                else:
                    self._send_queue(self._socket or self._connect())
                pause = 0.0
            except Exception:  # whatever the network says, the next attempt may succeed
                with self._changed:
                    self.hang_up()
                time.sleep(pause)
                pause = min(2 * pause + 0.05, 0.5)  # none before the first attempt
        if self.closed:
            self.hang_up()

    def _connect(self) -> socket.socket:
        host = self._settings.host
        if host.startswith("/"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(self._timeout)
            self._socket.connect(host)
        else:
            self._socket = socket.create_connection((host, self._settings.port), self._timeout)
        if self._settings.acknowledged:
            hello = struct.pack(">I", len(HELLO)) + HELLO
            self._socket.sendall(hello)
            self._position, self._last_heard = len(hello), time.monotonic()
        return self._socket

    def _send_queue(self, sock: socket.socket) -> None:
        """Sends until the queue is empty, and hands the socket to the log calls then."""
        while not self.closed:
            with self._changed:
                sock.settimeout(0)
                self._hear(sock)
                sock.settimeout(self._timeout)
                if not self._queue:
                    sock.settimeout(0)
                    self._direct = True
                    return
                # Much at once, because a busy application lets this thread run only 200 times a second.
                chunk = b"".join(islice(self._queue, 512))[self._offset :]
            sent = sock.send(chunk, _NO_SIGNAL)
            with self._changed:
                self._take_off(sent)
                self._changed.notify_all()

    def _take_off(self, sent: int) -> None:
        """Takes what is sent off the queue. What had no room behind it is declared there."""
        self._offset += sent
        while self._queue and self._offset >= len(self._queue[0]):
            frame = self._queue.popleft()
            self._offset -= len(frame)
            self._queued_bytes -= len(frame)
            self._keep(frame)
            self._stalled = False
        records, size = self._undeclared
        if records and not self._stalled:
            text = f"dropped {records} records ({size} bytes): the queue was full"
            notice = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)
            vars(notice).update(dropped_records=records, dropped_bytes=size)
            self._queue.append(_frame(_fields(notice, self._settings.service)))
            self._queued_bytes += len(self._queue[-1])
            self._undeclared = [0, 0]

    def _keep(self, frame: bytes) -> None:
        """Keeps a frame that is sent until it is acknowledged."""
        if self._settings.acknowledged:
            if not self._unacked:
                self._last_heard = time.monotonic()
            self._position += len(frame)
            self._queued_bytes += len(frame)
            self._unacked.append((self._position, frame))

    def _hear(self, sock: socket.socket) -> None:
        """Takes in what parselog has said. Fails if it hung up: a write would succeed all the same, into nothing."""
        with suppress(BlockingIOError):
            while True:
                said = sock.recv(4096)
                if not said:
                    raise ConnectionResetError("parselog closed the connection")
                if self._settings.acknowledged:
                    self._heard += said
        whole = len(self._heard) // 8 * 8 if self._settings.acknowledged else 0
        if not whole:
            return
        (stored,) = struct.unpack(">Q", self._heard[whole - 8 : whole])
        self._heard, self._last_heard, self._stalled = self._heard[whole:], time.monotonic(), False
        while self._unacked and self._unacked[0][0] <= stored:
            self._queued_bytes -= len(self._unacked.popleft()[1])
        self._changed.notify_all()

    def _wait_for_acks(self, sock: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            selector.select(0.05)
        with self._changed:
            if self._direct:
                self._hear(sock)
            if self._unacked and time.monotonic() - self._last_heard > self._timeout:
                raise ConnectionResetError("parselog acknowledges nothing")

    def hang_up(self) -> None:
        """Closes the connection. A frame that is half sent or not acknowledged is sent again, whole."""
        if self._socket is not None:
            self._socket.close()
        self._queue.extendleft(frame for _, frame in reversed(self._unacked))
        self._unacked.clear()
        self._heard = b""
        self._socket, self._direct, self._offset = None, False, 0


_handlers: weakref.WeakSet[ParselogHandler] = weakref.WeakSet()
# Connecting needs it. If the thread had to import it, a fork meanwhile would leave it locked in the child.
codecs.lookup("idna")


def _after_fork_in_child() -> None:
    for handler in list(_handlers):
        handler._sender.hang_up()  # connection and queue are the parent's
        handler._sender = _Sender(handler)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _fields(record: logging.LogRecord, service: str | None) -> dict[str, Any]:
    """What is sent of a record, under the names that Python's own handlers use."""
    known = vars(record)
    fields: dict[str, Any] = {"service": service} if service else {}
    fields.update((name, known[name]) for name in _SENT)
    extras = {str(name): value for name, value in known.items() if name not in _STANDARD}
    if isinstance(record.msg, dict) and "event" in record.msg:  # what structlog hands to formatters
        extras.update(record.msg)
        fields["message"] = _text(extras.pop("event"))
    else:
        try:
            fields["message"] = record.getMessage()
        except Exception as error:  # the arguments do not fit, and whoever wrote the call wants to see them
            fields.update({"message": _text(record.msg), "args": record.args, "format_error": _text(error)})
    if record.exc_text:
        fields["exc_text"] = record.exc_text
    elif record.exc_info and record.exc_info[0]:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
    fields.update((name, known[name]) for name in _SENT_IF_KNOWN if known.get(name))
    if "request" in extras:
        extras["request"] = _request(extras["request"])
    return {**fields, **{f"{name}_" if name in fields else name: value for name, value in extras.items()}}


def _request(request: Any) -> Any:
    """A web request as method, path and user id: bodies, cookies, headers and queries are private."""
    method, path = getattr(request, "method", None), getattr(request, "path", None)
    if not (isinstance(method, str) and isinstance(path, str)):
        return f"<{type(request).__name__}>"
    known = getattr(request, "__dict__", {})
    user = known.get("_cached_user", known.get("user"))
    is_lazy = type(user).__module__ == "django.utils.functional"  # a log call must not ask the database
    user_id = None if is_lazy else getattr(user, "pk", None)
    return {"method": method, "path": path, **({} if user_id is None else {"user_id": user_id})}


def _frame(fields: dict[str, Any]) -> bytes:
    body = _json(fields)
    if len(body) > MAX_BODY:
        longest = MAX_BODY // len(fields) // 12 - 16  # JSON may need twelve bytes for a character
        cut = {name: v if isinstance(v, (int, float)) else _text(v)[:longest] for name, v in fields.items()}
        body = _json({**cut, "cut_from_bytes": len(body)})
    return struct.pack(">I", len(body)) + body


def _json(fields: dict[str, Any]) -> bytes:
    try:
        return _encode(fields).encode()
    except Exception:  # NaN, a circle, keys that JSON does not know: each value by itself
        return _encode({name: _plain(value) for name, value in fields.items()}).encode()


def _plain(value: Any) -> Any:
    try:
        return json.loads(_encode(value))
    except Exception:
        return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


_encode = json.JSONEncoder(default=_text, allow_nan=False).encode
