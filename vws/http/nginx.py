"""nginx's callbacks over HTTP: its answers are statuses, 2xx for yes and all others for no."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl

from flask import Response, request

from vws.core.rtmp import RtmpKind
from vws.core.wire.nginx import NginxCall, parse_call
from vws.errors import BadInput, VWSError
from vws.http.answers import text_answer
from vws.rtmp import Rtmp

__all__ = ["Callbacks"]

NO = 403
MAX_FIELDS = 500


class Callbacks:
    """Answers nginx."""

    def __init__(self, rtmp: Rtmp) -> None:
        self._rtmp = rtmp

    def publish(self) -> Response:
        return _answer(partial(self._rtmp.enter, kind=RtmpKind.PUBLISH))

    def publish_done(self) -> Response:
        return _answer(partial(self._rtmp.leave, kind=RtmpKind.PUBLISH))

    def play(self) -> Response:
        return _answer(partial(self._rtmp.enter, kind=RtmpKind.PLAY))

    def play_done(self) -> Response:
        return _answer(partial(self._rtmp.leave, kind=RtmpKind.PLAY))

    def update(self) -> Response:
        return _answer(self._rtmp.update)


def _answer(act: Callable[[NginxCall], None]) -> Response:
    try:
        act(parse_call(_form(request.get_data())))
    except VWSError as refusal:
        return text_answer(refusal.message, NO)
    return text_answer("OK")


def _form(body: bytes) -> dict[str, str]:
    """Read a form; of a field that is repeated only nginx's own counts, which comes first."""
    try:
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadInput("the form has too many fields") from None
    return dict(reversed(fields))
