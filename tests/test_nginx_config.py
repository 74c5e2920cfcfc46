"""nginx's configuration as this program prints it: what it holds and refuses, and that nginx takes it."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.nginx import MODULE
from tests.support.require import missing, need
from tests.support.shell import Shell
from vws.config import Config
from vws.errors import ConfigError
from vws.nginx_config import nginx_config

EXAMPLE = Path(__file__).parent.parent / "deploy" / "nginx" / "nginx.conf"

SETTINGS = {
    "API_KEY": "API_KEY",
    "NGINX_HOST": "http://nginx.example:8080",
    "NGINX_RTMP": "rtmp://nginx.example/live",
    "NGINX_KEY": "NGINX_KEY",
    "NGINX_HLS_PATH": "/var/lib/vws/hls",
    "NGINX_STAT": "http://127.0.0.1:8081/stat",
}


def printed(folder: str = "", **settings: str) -> str:
    return nginx_config(Config.from_env({**SETTINGS, **settings}), user="vws", folder=folder)


def test_the_example_is_what_the_command_prints_for_such_settings() -> None:
    assert EXAMPLE.read_text() == printed()


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    prefix = tmp_path / "tls"
    subject = ["-subj", "/CN=localhost", "-keyout", f"{prefix}.key", "-out", f"{prefix}.crt"]
    command = [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run(command, check=True, capture_output=True)
    return str(prefix)


VARIANTS: dict[str, dict[str, str]] = {
    "all settings": {},
    "as few as possible": {
        "VWS_ENV": "development",
        "API_KEY": "",
        "NGINX_RTMP": "",
        "NGINX_KEY": "",
        "NGINX_STAT": "",
    },
    "on this machine": {"NGINX_HOST": "http://127.0.0.1:28080", "NGINX_RTMP": "rtmp://[::1]:21935/app"},
    "IPv6": {"HOST": "::1", "NGINX_STAT": "http://[::1]:28081"},
    "a key of odd characters": {"API_KEY": 'a b"$host;}\\ü%&?#'},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_nginx_takes_it(tmp_path: Path, settings: dict[str, str]) -> None:
    check(tmp_path, {**SETTINGS, **settings})


def test_nginx_takes_a_path_with_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "live streams;"
    folder.mkdir()
    assert f'alias "{folder}/hls/";' in check(folder, SETTINGS)


def test_nginx_takes_it_with_tls(tmp_path: Path, certificate: str) -> None:
    settings = {"CERTIFICATE": certificate, "NGINX_HOST": "https://nginx.example"}
    text = check(tmp_path, {**SETTINGS, **settings})
    assert "proxy_pass https://127.0.0.1:3000;" in text
    assert f'ssl_certificate "{certificate}.crt";' in text


def check(folder: Path, settings: Mapping[str, str]) -> str:
    """Have nginx read the configuration; return its text."""
    program = need("nginx")
    if not MODULE.exists():
        missing("nginx's RTMP module (libnginx-mod-rtmp)")
    config = Config.from_env({**settings, "NGINX_HLS_PATH": f"{folder}/hls/"})
    text = nginx_config(config, user=getpass.getuser(), folder=str(folder))
    (folder / "nginx.conf").write_text(text)
    command = [program, "-t", "-q", "-c", str(folder / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return text


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no nginx": ({"NGINX_HOST": ""}, "NGINX_HOST must be given"),
    "no folder": ({"NGINX_HLS_PATH": ""}, "NGINX_HLS_PATH must be given"),
    "no key": ({"API_KEY": ""}, "API_KEY must be given"),
    "a relative folder": ({"NGINX_HLS_PATH": "hls"}, "NGINX_HLS_PATH must be given, and start with /"),
    "a path that is a variable": ({"NGINX_HLS_PATH": "/srv/$hls"}, "nginx cannot use this path"),
    "a path with a quote": ({"NGINX_HLS_PATH": '/srv/"; include /etc/passwd; "'}, "nginx cannot use"),
    "a key of odd characters": ({"NGINX_KEY": 'a") { return 200; } if ("'}, "NGINX_KEY must be made of"),
    "RTMP over TLS": ({"NGINX_RTMP": "rtmps://nginx.example/live"}, "NGINX_RTMP must start with rtmp://"),
    "an application of two words": ({"NGINX_RTMP": "rtmp://nginx.example/live/more"}, "one word"),
    "statistics elsewhere": ({"NGINX_STAT": "http://nginx.example/stat"}, "NGINX_STAT must be on this mach"),
    "a statistics path with a brace": ({"NGINX_STAT": "http://127.0.0.1/{stat"}, "NGINX_STAT must be an add"),
    "HTTPS without a certificate": ({"NGINX_HOST": "https://nginx.example"}, "CERTIFICATE must be given"),
}


@pytest.mark.parametrize(("settings", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason.replace("(", "\\(")):
        printed(**settings)


def test_a_certificate_needs_the_page_for_statistics(certificate: str) -> None:
    with pytest.raises(ConfigError, match="NGINX_STAT must be given, as CERTIFICATE is"):
        printed(CERTIFICATE=certificate, NGINX_STAT="")


def test_a_user_that_is_no_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="the user must be one word"):
        nginx_config(Config.from_env(SETTINGS), user="vws; include x")


def test_the_command_prints_it(shell: Shell, folder: Path) -> None:
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    assert "on_publish http://127.0.0.1:8081/nginx/on_publish?apikey=API_KEY;" in shell("nginx-config")
    assert f"user {getpass.getuser()};" in shell("nginx-config")
    assert 'pid "/tmp/x/nginx.pid";' in shell("nginx-config", "--folder", "/tmp/x")


def test_the_command_says_what_is_missing(shell: Shell, folder: Path) -> None:
    assert "error: NGINX_HOST must be given" in shell("nginx-config", code=1)
