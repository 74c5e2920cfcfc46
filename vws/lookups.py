"""Looking up names: in few threads, none of which is taken for what is asked already."""

from __future__ import annotations

import _socket
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.resolver.thread import Resolver

__all__ = ["Lookups", "look_up_together"]


def look_up_together() -> None:
    """Have all of this process look names up by `Lookups`."""
    hub: Any = gevent.get_hub()
    hub.resolver = Lookups(hub)


class Lookups(Resolver):
    """gevent's resolver, whose threads a name that nobody answers for would fill if many asked for it.

    All who ask for the same at once get one answer; addresses need no thread.
    """

    def __init__(self, hub: Any = None) -> None:
        super().__init__(hub)
        self._asked: dict[Any, AsyncResult[Any]] = {}

    def getaddrinfo(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as the system's is called
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        try:
            return _socket.getaddrinfo(host, port, family, type, proto, flags | _socket.AI_NUMERICHOST)
        except _socket.gaierror:
            return self._ask(host, port, family, type, proto, flags)

    def _ask(self, *question: Any) -> Any:
        answer = self._asked.get(question)
        if answer is None:
            answer = self._asked[question] = AsyncResult()
            gevent.spawn(self._look_up, question, answer)
        return answer.get()

    def _look_up(self, question: Any, answer: AsyncResult[Any]) -> None:
        try:
            answer.set(super().getaddrinfo(*question))
        except Exception as error:  # is for those who asked; gevent would print where it comes from
            answer.set_exception(error)
        finally:
            del self._asked[question]
