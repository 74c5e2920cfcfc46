"""nginx's whole configuration for RTMP and HLS, written from this server's settings.

Values reach the file checked, and quoted for nginx: nothing in a setting can add a directive.
"""

from __future__ import annotations

import re
from string import Template
from typing import Final
from urllib.parse import quote, urlsplit

from vws.config import Config
from vws.errors import ConfigError

__all__ = ["nginx_config"]

ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
CALLS: Final = ("on_publish", "on_publish_done", "on_play", "on_play_done", "on_update")

CONFIG: Final = Template("""\
# nginx for RTMP in and HLS out, beside VWS. Made from its settings: python -m vws nginx-config
# Debian's packages: nginx libnginx-mod-rtmp. It holds keys: nobody but root needs to read it.

# Who runs VWS: it makes the accounts' folders in hls_path, and nginx writes into them.
user $user;
# One worker: a stream is known to the worker that takes it, and to no other.
worker_processes 1;
# Descriptors, of which the system gives a program far fewer by itself: a connection each, and a file.
worker_rlimit_nofile 32768;
# Here Debian's packages put what loads the RTMP module.
include /etc/nginx/modules-enabled/*.conf;
error_log $log warn;
$pid
events {
    worker_connections 16384;
}

rtmp {
    # Whoever holds connections here without a word leaves the others to HLS, and to the calls to VWS.
    max_connections 4096;
    # Lines of this log hold tokens and pins.
    access_log off;

    server {
        # OBS: server $rtmp, stream key Account/Stream?token=TOKEN or Account/Stream?pin=PIN
        listen $rtmp_listen;
        chunk_size 4096;

        application $application {
            live on;
            # A publisher that sends nothing is gone, and may come back.
            drop_idle_publisher 10s;

            # Everything is asked of VWS, which lets in, refuses, and counts. Only HTTP is spoken here.
$calls
            # How often VWS hears of each stream, and may end it: its NGINX_UPDATE_INTERVAL.
            notify_update_timeout ${interval}s;

            hls on;
            hls_path $hls_path;
            # A folder for each stream: Account/Stream/index.m3u8
            hls_nested on;
            # Viewers are about three fragments behind; fragments begin at key frames, every 2 s is good.
            hls_fragment 2s;
            hls_playlist_length 12s;
            # Fragments that have left the playlist are deleted.
            hls_cleanup on;
        }
    }
}

http {
    # Lines of this log would hold the key.
    access_log off;
    log_not_found off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    types {
        application/vnd.apple.mpegurl m3u8;
        video/mp2t ts;
    }
    default_type application/octet-stream;
$temporary
    server {
        listen $http_listen;
$tls
        # VWS fetches playlists and segments here for its viewers; nobody else has the key.
        location /hls/ {
$guard
            alias $hls_folder;
            add_header Cache-Control no-cache;
        }
        location / {
            return 404;
        }
    }
$local
}
""")

LOCAL: Final = Template("""\

    # For this machine only.
    server {
        listen $listen;
        allow 127.0.0.1;
        allow ::1;
        deny all;
        # Lines of this log would hold the API key.
        error_log $log emerg;

        # What VWS learns bit rates, sizes and frame rates from: its NGINX_STAT.
        location = $path {
            rtmp_stat all;
        }

        # The RTMP module's calls go through here, as it speaks no TLS, and would end every stream
        # of which it cannot ask. While VWS is restarted they go on; it checks them when it is back.
        location /nginx/ {
            proxy_pass $server;
            proxy_read_timeout 8s;
        }
        location = /nginx/on_update {
            proxy_pass $server;
            proxy_read_timeout 8s;
            error_page 502 504 =200 /nginx-stays;
        }
        location = /nginx-stays {
            internal;
            return 200;
        }
    }""")

TLS: Final = Template("""\
        ssl_certificate $cert;
        ssl_certificate_key $key;
""")


def nginx_config(config: Config, *, user: str, folder: str = "") -> str:
    """Return the text of nginx.conf; raise `ConfigError` for a setting that is missing or cannot be used.

    ``user`` runs nginx's worker. With ``folder``, what Debian keeps in /var and /run is kept there.
    """
    if not config.nginx_host:
        raise ConfigError("NGINX_HOST must be given, like http://127.0.0.1:8080")
    if not config.nginx_hls_path.startswith("/"):
        raise ConfigError("NGINX_HLS_PATH must be given, and start with /")
    if not (config.api_key or config.development):
        raise ConfigError("API_KEY must be given: without it nothing of nginx's is answered in production")
    log = _quoted(f"{folder}/error.log" if folder else "/var/log/nginx/error.log")
    hls_path = config.nginx_hls_path.rstrip("/")
    host, rtmp = urlsplit(config.nginx_host), urlsplit(config.nginx_rtmp or "rtmp://0.0.0.0:1935/live")
    return CONFIG.substitute(
        user=_word(user, "the user"),
        log=log,
        pid=f"pid {_quoted(f'{folder}/nginx.pid')};\n" if folder else "",
        rtmp=_plain(config.nginx_rtmp or "rtmp://this-server/live", "NGINX_RTMP"),
        rtmp_listen=_listen(rtmp.hostname, rtmp.port or 1935),
        application=_application(rtmp.scheme, rtmp.path),
        calls=_calls(config),
        interval=config.nginx_update_interval,
        hls_path=_quoted(hls_path),
        hls_folder=_quoted(f"{hls_path}/"),
        temporary=_temporary(folder),
        http_listen=_http_listen(host.scheme, host.hostname, host.port),
        tls=_tls(config) if host.scheme == "https" else "",
        guard=_guard(config.nginx_key),
        local=_local(config, log) if config.nginx_stat else "",
    )


def _calls(config: Config) -> str:
    """List the addresses that nginx calls, with the API key in them."""
    server = _own_address(config)
    if config.nginx_stat:
        stat = urlsplit(config.nginx_stat)
        server = f"http://{_listen(stat.hostname, stat.port or 80)}"
    elif config.tls:
        raise ConfigError("NGINX_STAT must be given, as CERTIFICATE is: nginx calls this server through it")
    key = f"?apikey={quote(config.api_key, safe='')}" if config.api_key else ""
    return "\n".join(f"            {call} {server}/nginx/{call}{key};" for call in CALLS)


def _own_address(config: Config) -> str:
    host = ANYWHERE.get(config.host, config.host)
    return f"{'https' if config.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{config.port}"


def _local(config: Config, log: str) -> str:
    stat = urlsplit(config.nginx_stat)
    if stat.scheme != "http" or stat.hostname not in LOOPBACK:
        raise ConfigError("NGINX_STAT must be on this machine, like http://127.0.0.1:8081/stat")
    return LOCAL.substitute(
        listen=_listen(stat.hostname, stat.port or 80),
        log=log,
        path=_plain(stat.path or "/", "NGINX_STAT"),
        server=_own_address(config),
    )


def _tls(config: Config) -> str:
    files = config.tls
    if files is None:
        raise ConfigError("CERTIFICATE must be given, as NGINX_HOST is https: nginx needs it, too")
    return TLS.substitute(cert=_quoted(files.cert), key=_quoted(files.key))


def _guard(key: str) -> str:
    """Ask for NGINX_KEY; without one, serve this machine only."""
    if not key:
        return "            allow 127.0.0.1;\n            allow ::1;\n            deny all;"
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", key):  # nginx compares what is in the address, undecoded
        raise ConfigError("NGINX_KEY must be made of letters, digits and . _ ~ -")
    return f'            if ($arg_key != "{key}") {{\n                return 403;\n            }}'


def _temporary(folder: str) -> str:
    """Keep nginx's temporary files in the folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi") if folder else ()
    return "".join(f"    {kind}_temp_path {_quoted(f'{folder}/{kind}')};\n" for kind in kinds)


def _listen(host: str | None, port: int) -> str:
    """Listen where the address of this machine says; a public name means everywhere."""
    if host not in LOOPBACK:
        return str(port)
    return f"{'[::1]' if host == '::1' else '127.0.0.1'}:{port}"


def _http_listen(scheme: str, host: str | None, port: int | None) -> str:
    if scheme == "https":
        return f"{_listen(host, port or 443)} ssl"
    return _listen(host, port or 80)


def _application(scheme: str, path: str) -> str:
    if scheme != "rtmp":
        raise ConfigError("NGINX_RTMP must start with rtmp://: nginx's RTMP module speaks no TLS")
    return _word(path.strip("/") or "live", "the end of NGINX_RTMP")


def _word(value: str, what: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        return value
    raise ConfigError(f"{what} must be one word of letters and digits")


def _plain(value: str, what: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:\[\]~-]+", value):
        return value
    raise ConfigError(f"{what} must be an address without special characters")


def _quoted(path: str) -> str:
    """Quote a path for nginx, which would read a variable behind every $."""
    if re.search(r"[\x00-\x1f\x7f\"\\$]", path):
        raise ConfigError(f'nginx cannot use this path, for a " \\ or $ in it: {path!r}')
    return f'"{path}"'
