"""The HTTP edge: the API, the pages, and the browser client's files."""

from vws.http.routes import register
from vws.http.services import Nginx, Services

__all__ = ["Nginx", "Services", "register"]
