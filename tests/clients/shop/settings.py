"""A Django project with the logging of docs/INTAKE.md. SHOP_HANDLER says which handler takes the records away."""

import os

from blocks import block

SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "web"
WSGI_APPLICATION = "web.application"
INSTALLED_APPS: list = []
USE_TZ = True

exec(block("Django", os.environ["SHOP_HOST"], os.environ["SHOP_PORT"]))
if os.environ["SHOP_HANDLER"] == "parselog_handler":
    exec(block("Django", os.environ["SHOP_HOST"], os.environ["SHOP_PORT"], 1))
