"""What Celery works on: payments, of which each tenth fails. Its broker is a folder, so that it needs no server."""

import logging
import logging.config
import os
import pathlib

import celery
import celery.signals

import settings
from blocks import block

folder = pathlib.Path(os.environ["SHOP_FOLDER"])
for name in ("sent", "queue", "done"):
    (folder / name).mkdir(exist_ok=True)
app = celery.Celery("shop", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder / "queue",
        # A worker may read a message before it is written, so whoever drives the shop moves it when it is whole.
        "data_folder_out": folder / "sent",
        "control_folder": folder / "control",
        "polling_interval": 0.02,
    },
    task_ignore_result=True,
    worker_enable_remote_control=False,
)
log = logging.getLogger("shop.queued")


exec(block("Celery", "", ""))


@app.task
def pay(number: int) -> None:
    try:
        if number % 10 == 5:
            raise ValueError(f"order {number} has no price")
        log.info("paid %d", number, extra={"order": number})
    finally:
        (folder / "done" / str(number)).touch()
