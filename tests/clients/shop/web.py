"""What gunicorn serves: orders that are logged and queued, and a page with a fault."""

import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

log = logging.getLogger("shop.web")


def order(request: HttpRequest, number: int) -> HttpResponse:
    from queued import pay

    log.info("order %d", number, extra={"order": number})
    pay.delay(number)
    return HttpResponse("ordered")


def fault(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(number / 0)


urlpatterns = [path("order/<int:number>", order), path("fault/<int:number>", fault)]
application = get_wsgi_application()
