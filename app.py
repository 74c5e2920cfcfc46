"""The program: `python app.py` serves it, `gunicorn -c gunicorn.conf.py app:app` does so in production."""

from gevent import monkey

monkey.patch_all()

import logging

from vws import config as settings
from vws import logs
from vws.errors import VWSError
from vws.factory import create_app
from vws.serve import refuse, serve, stop_in_order

try:
    config, warnings = settings.load()
    logs.configure(config.log_level)
    for warning in warnings:
        logs.event("config", level=logging.WARNING, message=warning)
    app, socketio = create_app(config)
except VWSError as error:
    refuse(error)

if __name__ == "__main__":
    serve(config, app, socketio)
else:
    stop_in_order(socketio)
