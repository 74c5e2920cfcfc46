"""Tell a server that may be running on this machine that the accounts have changed."""

from __future__ import annotations

import ipaddress
import warnings
from typing import Final

import requests
from urllib3.exceptions import InsecureRequestWarning

from vws.config import Config

__all__ = ["ask_to_reload"]

TIMEOUT: Final = 3
"""Seconds to connect, and between pieces of the answer."""

ANSWER_BYTES: Final = 16_384
ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to listen on that are none to connect to, and what is on this machine."""


def ask_to_reload(config: Config) -> str:
    """Ask the server of this configuration to reload its accounts; return one sentence for a person."""
    host = ANYWHERE.get(config.host, config.host)
    scheme = "https" if config.tls else "http"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{config.port}/update-accounts"
    try:
        status, answer = _get(url, api_key=config.api_key, verify=not _is_loopback(host))
    except requests.exceptions.SSLError:
        return f"The certificate of {url} does not hold for this address: reload the accounts by hand."
    except requests.ConnectionError:
        return f"No server answers at {url}: one that starts will read the change."
    except requests.RequestException as error:
        return f"{url} did not answer ({type(error).__name__}): reload the accounts by hand."
    if status == requests.codes.ok:
        return f"The server at {url} answered: {answer}"
    refused = f"The server at {url} refused to reload its accounts ({status}): {answer}."
    closed = status == requests.codes.unauthorized and not config.api_key
    return f"{refused} Set API_KEY in .env, and restart it." if closed else refused


def _get(url: str, *, api_key: str, verify: bool) -> tuple[int, str]:
    headers = {"X-API-Key": api_key.encode()} if api_key else {}
    with requests.Session() as session, warnings.catch_warnings():
        session.trust_env = False  # no proxy on the way to this machine
        # On loopback nobody is in between, and certificates name domains, not 127.0.0.1.
        warnings.simplefilter("ignore", InsecureRequestWarning)
        with session.get(
            url, headers=headers, timeout=TIMEOUT, verify=verify, allow_redirects=False, stream=True
        ) as response:
            body = next(response.iter_content(ANSWER_BYTES), b"")
            return response.status_code, " ".join(body.decode(errors="replace").split())[:300]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
