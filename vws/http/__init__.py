"""The HTTP edge: the API, the pages, and the browser client's files."""

from vws.http.routes import register
from vws.http.services import Services
from vws.reload import ReloadResult

__all__ = ["ReloadResult", "Services", "register"]
