"""Production: one worker that holds the live state, thousands of connections in it."""

import sys
from typing import Any

from vws import __version__, logs
from vws import config as settings
from vws.errors import VWSError
from vws.transport.wsgi import tls_context

try:
    _config, _ = settings.load()
    _tls = _config.tls
    if _tls:
        tls_context(_tls.key, _tls.cert)  # gunicorn makes its own, and would not say what is wrong
except VWSError as error:
    sys.exit(f"VWS cannot start: {error.message}")

bind = f"[{_config.host}]:{_config.port}" if ":" in _config.host else f"{_config.host}:{_config.port}"
worker_class = "vws.transport.wsgi.Worker"
workers = 1  # the live state is in the worker's memory
worker_connections = 3 * (_config.max_connections or 1_000_000) + 1000  # polling takes three; others are few
keyfile = _tls.key if _tls else None
certfile = _tls.cert if _tls else None
graceful_timeout = 3
timeout = 60
control_socket_disable = True  # one path for all instances of a user, and nothing here needs it
errorlog = "-"
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Refuse what the command line may have asked for."""
    if server.cfg.workers != 1:
        sys.exit(f"VWS cannot start: it is one worker, not {server.cfg.workers}: leave -w out.")


def post_worker_init(_worker: Any) -> None:
    """Begin as `python app.py` does."""
    from vws.serve import prepare  # noqa: PLC0415 - not before the worker has patched the libraries

    prepare()
    logs.event("start", version=__version__, host=_config.host, port=_config.port)
