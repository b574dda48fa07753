"""Runs the shop as in production: gunicorn and Celery, with three processes each, under a load of orders.

drive.py SocketHandler|parselog_handler HOST PORT COUNT

It prints what must be stored, one JSON object for each: the logger, the message (or the beginning of it), and
how often. After half of the orders it prints `pause`, and goes on when a line comes in.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable

HERE = pathlib.Path(__file__).resolve().parent
handler, host, port, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def listens(folder: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX) as web:
        return web.connect_ex(str(folder / "web")) == 0


def get(folder: pathlib.Path, path: str) -> int:
    with socket.socket(socket.AF_UNIX) as web:
        web.connect(str(folder / "web"))
        web.sendall(f"GET {path} HTTP/1.0\r\nHost: shop\r\nCookie: sessionid=secret\r\n\r\n".encode())
        with web.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0, process.args


def main(folder: pathlib.Path) -> None:
    environment = {"SHOP_HANDLER": handler, "SHOP_HOST": host, "SHOP_PORT": port, "SHOP_FOLDER": str(folder)}
    os.environ.update(environment, DJANGO_SETTINGS_MODULE="settings", PYTHONPATH=f"{HERE}:{HERE.parent}")

    def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(folder / f"{module}.log", "wb") as log:
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log)

    web = start("gunicorn", "web:application")
    queue = start(
        "celery", "-A", "queued", "worker", "--concurrency", "3", "--pool", "prefork", "--loglevel", "INFO"
    )
    wait_until(lambda: listens(folder))
    for number in range(count):
        if number == count // 2:
            say(pause=number)
            sys.stdin.readline()
        assert get(folder, f"/order/{number}") == 200
        for message in (folder / "sent").iterdir():
            message.rename(folder / "queue" / message.name)
        if number % 10 == 7:
            assert get(folder, f"/fault/{number}") == 500
    wait_until(lambda: len(list((folder / "done").iterdir())) == count)
    stop(queue)
    stop(web)

    failed = range(5, count, 10)
    for number in range(count):
        say(logger="shop.web", message=f"order {number}")
        say(logger="gunicorn.access", contains=f'"GET /order/{number} HTTP/1.0" 200')
        if number in failed:
            end = f"ValueError: order {number} has no price"
            say(
                logger="celery.app.trace",
                contains=f"raised unexpected: ValueError('order {number} has",
                traceback=end,
            )
        else:
            say(logger="shop.queued", message=f"paid {number}")
        if number % 10 == 7:
            end = "ZeroDivisionError: division by zero"
            message = f"Internal Server Error: /fault/{number}"
            say(logger="django.request", message=message, traceback=end, unpicklable=True)
    say(logger="celery.worker.strategy", contains="Task queued.pay[", times=count)
    say(logger="celery.app.trace", contains="succeeded in", times=count - len(failed))
    say(logger="gunicorn.error", contains="Starting gunicorn")
    say(logger="gunicorn.error", contains="Booting worker with pid", times=3)


with tempfile.TemporaryDirectory() as name:
    try:
        main(pathlib.Path(name))
    except BaseException:
        for log in pathlib.Path(name).glob("*.log"):
            sys.stderr.write(log.read_text())
        raise
