"""The error kinds of the program; every edge maps them once.

Each has a ``code`` (stable, for programs) and a message (for people). Rules and use cases
raise them; namespaces turn them into acknowledgements and error events, the HTTP API into
status codes, the command line into an exit code.
"""

from __future__ import annotations

__all__ = [
    "BadInput",
    "ConfigError",
    "Forbidden",
    "NotFound",
    "Refused",
    "TooMany",
    "Unavailable",
    "UpstreamBroken",
    "UpstreamSlow",
    "VWSError",
]


class VWSError(Exception):
    """Base of everything the program refuses or fails at on purpose."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class BadInput(VWSError):
    """What arrived is malformed: wrong arity, type, size or shape."""

    code = "bad-input"


class Refused(VWSError):
    """What arrived is well formed and not allowed: a plan, a role, a rule says no."""

    code = "refused"


class Forbidden(Refused):
    """What is not for this client, whatever else it shows."""

    code = "forbidden"


class TooMany(Refused):
    """Too much at once, or in too short a time; later it may be allowed."""

    code = "too-many-requests"


class NotFound(VWSError):
    """What was named does not exist, or not for this client."""

    code = "not-found"


class Unavailable(VWSError):
    """Something this server depends on (database, login site) does not answer."""

    code = "unavailable"


class UpstreamBroken(Unavailable):
    """A server that is asked for each answer is not there, or says what it should not."""

    code = "upstream"


class UpstreamSlow(Unavailable):
    """A server that is asked for each answer does not give one in time."""

    code = "upstream-slow"


class ConfigError(VWSError):
    """A setting is malformed; the message names the variable and what it may be."""

    code = "config"
