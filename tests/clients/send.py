"""Logs through a client as an application does, and prints what it logged, one JSON object a record.

send.py TITLE HOST PORT COUNT

TITLE is that of the client's section in docs/INTAKE.md, whose block is run as it stands. Each tenth record has a
traceback, each seventh is a warning. After half of them this prints a line with `pause`, and goes on when a line
comes in: meanwhile the test may kill what listens, and start it again. Where a client sends tracebacks, the one
that must arrive is printed too.
"""

from __future__ import annotations

import datetime
import decimal
import importlib
import json
import logging
import logging.handlers
import pathlib
import sys
import traceback
import uuid
from typing import Any

from blocks import block

#: What a block uses; an application would import it.
IMPORTS = {
    "parselog_handler": ["parselog_handler"],
    "JSON lines": ["pythonjsonlogger.json:JsonFormatter"],
    "structlog": ["structlog"],
    "loguru": ["loguru", "parselog_handler"],
    "requests": ["requests"],
    "OpenTelemetry": [
        "opentelemetry.exporter.otlp.proto.http._log_exporter:OTLPLogExporter",
        "opentelemetry.sdk._logs:LoggerProvider",
        "opentelemetry.sdk._logs:LoggingHandler",
        "opentelemetry.sdk._logs.export:BatchLogRecordProcessor",
        "opentelemetry.sdk.resources:Resource",
    ],
    "python-logging-loki": ["logging_loki"],
}
#: Values that JSON and pickle write in ways of their own, for those who can send any value.
VALUES: dict[str, Any] = {
    "at": datetime.datetime(2026, 11, 28, 12, 30),
    "price": decimal.Decimal("1.50"),
    "key": uuid.UUID(int=7),
    "tags": {"a"},
    "raw": b"\x00\xff",
    "file": pathlib.PurePosixPath("/tmp/x"),
}
ANY_VALUE = ("Python's SocketHandler", "parselog_handler", "structlog")

title, host, port, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
names: dict[str, Any] = {"logging": logging, "json": json}
for name in IMPORTS.get(title, []):
    module, _, member = name.partition(":")
    found = importlib.import_module(module)
    names[member or module] = getattr(found, member) if member else found
# What rsyslog is told is not code of an application, which logs to its socket as ever.
SYSLOG = "handler = logging.handlers.SysLogHandler({!r})\nhandler.ident = 'shop: '\nlogging.getLogger().addHandler(handler)"
code = SYSLOG.format(host) if title == "rsyslog" else block(title, host, port)


def say(level: int, message: str, fields: dict[str, Any]) -> None:
    """Logs one record. Called within `except`, it has a traceback."""
    failed = sys.exc_info()[0] is not None
    name = logging.getLevelName(level)
    if title == "requests":
        record = {"logger": "shop.orders", "level": name, "message": message, **fields}
        if failed:
            record["exception"] = traceback.format_exc()
        exec(code, {**names, "record": record})
    elif title == "structlog":
        names["structlog"].get_logger("shop.orders").log(level, message, **fields, exc_info=failed)
    elif title == "loguru":
        names["loguru"].logger.bind(**fields).opt(exception=failed).log(name, message)
    else:
        logging.getLogger("shop.orders").log(level, "%s", message, extra=fields, exc_info=failed)


def flush() -> None:
    if "provider" in names:
        names["provider"].force_flush()


def divide(order: int) -> float:
    return order / 0


logging.getLogger("shop").setLevel(logging.INFO)
if title == "loguru":
    names["loguru"].logger.remove()  # it writes to stderr unless told otherwise
if title != "requests":
    exec(code, names)
for order in range(count):
    if order == count // 2:
        flush()
        print(json.dumps({"pause": order}), flush=True)
        sys.stdin.readline()
    level = logging.WARNING if order % 7 == 3 else logging.INFO
    sent: dict[str, Any] = {"message": f"order {order}: 5 % off, “naïve” \U0001f600\n\ttwo lines"}
    fields = {"order": order, **(VALUES if title in ANY_VALUE else {})}
    if order % 10 == 5:
        level = logging.ERROR
        try:
            divide(order)
        except ZeroDivisionError:
            say(level, sent["message"], fields)
            if title != "Python's HTTPHandler":
                # loguru writes it in a way of its own, with the same end.
                lines = traceback.format_exc().strip().split("\n")
                sent["traceback"] = "\n".join(lines[-1:] if title == "loguru" else lines)
    else:
        say(level, sent["message"], fields)
    print(json.dumps({**sent, "level": logging.getLevelName(level)}), flush=True)
flush()
