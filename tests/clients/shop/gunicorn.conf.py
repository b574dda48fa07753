"""gunicorn with the logging of docs/INTAKE.md."""

import os

import settings
from blocks import block

bind = f"unix:{os.environ['SHOP_FOLDER']}/web"
workers = 3
control_socket_disable = True
preload_app = bool(os.environ.get("SHOP_PRELOAD"))
exec(block("gunicorn", "", ""))
