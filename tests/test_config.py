"""Settings: what `.env` and the environment say, and what the server makes of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import pytest

from vws.config import Config, TLSFiles, load
from vws.errors import ConfigError

SECRET = "sesame-0451"


def write(directory: Path, text: str, *, encoding: str = "utf-8") -> Path:
    (directory / ".env").write_text(text, encoding=encoding)
    return directory


def settings(**variables: str) -> Config:
    return Config.from_env(variables)


def refusal(environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ)
    return caught.value.message


# Defaults and modes


def test_nothing_set_gives_the_documented_defaults() -> None:
    config = settings()
    assert (config.host, config.port, config.development) == ("0.0.0.0", 3000, False)
    assert config.database_url == "sqlite:///vws.db"
    assert config.stun_servers == ("stun:stun.l.google.com:19302",)
    assert config.allowed_origins == ("*",)
    assert (config.auth_rate_limit, config.event_rate_limit) == (30, 1000)
    assert (config.max_connections, config.max_connections_per_address) == (20_000, 0)
    assert (config.max_message_size, config.max_send_buffer) == (1_000_000, 1_048_576)
    assert (config.connect_timeout, config.login_timeout, config.account_retry) == (10, 5, 10)
    assert (config.max_logins, config.max_rooms_per_client, config.max_channels_per_client) == (
        1000,
        100,
        1000,
    )
    assert (config.chat_history_ttl, config.coturn_ttl, config.coturn_tls_port) == (600, 43_200, None)
    assert (config.tls, config.demo, config.log_level) == (None, False, "info")
    assert config == Config()


def test_development_listens_locally_and_is_more_patient() -> None:
    config = settings(VWS_ENV="development")
    assert (config.host, config.auth_rate_limit, config.demo) == ("127.0.0.1", 120, True)
    own = settings(VWS_ENV="development", HOST="::", AUTH_RATE_LIMIT="5", DEMO="0")
    assert (own.host, own.auth_rate_limit, own.demo) == ("::", 5, False)


@pytest.mark.parametrize(
    ("variables", "development"),
    [
        ({}, False),
        ({"NODE_ENV": "development"}, True),
        ({"NODE_ENV": "development", "VWS_ENV": "production"}, False),
        ({"NODE_ENV": "production", "VWS_ENV": "development"}, True),
        ({"NODE_ENV": "development", "VWS_ENV": " "}, True),
        ({"VWS_ENV": "dev"}, False),
    ],
)
def test_only_the_word_development_opens_things_up(variables: dict[str, str], development: bool) -> None:
    assert Config.from_env(variables).development is development


# Values


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
def test_a_switch_is_on(text: str) -> None:
    assert settings(ENFORCE_SDP=text).enforce_sdp is True


@pytest.mark.parametrize("text", ["0", "False", "no", "OFF", "", "  ", "# 1 turns it on"])
def test_a_switch_is_off(text: str) -> None:
    assert settings(ENFORCE_SDP=text).enforce_sdp is False


@pytest.mark.parametrize("name", ["STATIC_TOKEN", "API_KEY", "COTURN_SERVER", "PORT"])
def test_an_explanation_is_no_value(name: str) -> None:
    assert Config.from_env({name: "#leave blank to disable"}) == Config()


def test_lists_are_read_item_by_item() -> None:
    config = settings(
        STUN_SERVERS="stun:one.example:3478, stuns:[2001:db8::1]:5349,stun:two.example,",
        ALLOWED_ORIGINS="https://Example.com/, http://localhost:8080",
        TRUSTED_PROXIES="127.0.0.1, 10.1.2.3/8, ::1",
    )
    assert config.stun_servers == ("stun:one.example:3478", "stuns:[2001:db8::1]:5349", "stun:two.example")
    assert config.allowed_origins == ("https://example.com", "http://localhost:8080")
    assert config.trusted_proxies == tuple(map(ipaddress.ip_network, ["127.0.0.1", "10.0.0.0/8", "::1"]))


def test_a_star_among_origins_allows_all() -> None:
    assert settings(ALLOWED_ORIGINS="https://example.com, *").allowed_origins == ("*",)


def test_urls_lose_their_final_slash() -> None:
    assert settings(NGINX_HOST="https://nginx.example:8443/").nginx_host == "https://nginx.example:8443"


@pytest.mark.parametrize("server", ["turn.example:3478", "192.0.2.1:443", "[2001:db8::1]:3478"])
def test_turn_server_addresses(server: str) -> None:
    assert settings(COTURN_SERVER=server).coturn_server == server


@pytest.mark.parametrize(
    "name",
    [
        "AUTH_RATE_LIMIT",
        "EVENT_RATE_LIMIT",
        "MAX_CONNECTIONS",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "MAX_VIEWERS",
        "MAX_VIEWERS_PER_ADDRESS",
    ],
)
def test_zero_lifts_a_limit(name: str) -> None:
    assert getattr(Config.from_env({name: "0"}), name.lower()) == 0


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "65536", "a whole number from 1 to 65535"),
        ("PORT", "٣٠٠٠", "a whole number from 1 to 65535"),
        ("PORT", "9" * 5000, "a whole number from 1 to 65535"),
        ("MAX_CONNECTIONS", "-1", "a whole number"),
        ("COTURN_TLS_PORT", "tls", "a whole number"),
        ("EXTRA_SECURITY", "maybe", "true or false"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("HOST", "example.com:3000", "without a port"),
        ("HOST", "300.1.1.1", "a host name or an address"),
        ("COTURN_SERVER", "turn.example", "host:port"),
        ("COTURN_SERVER", "turn:turn.example:3478", "host:port"),
        ("COTURN_SERVER", "2001:db8::1:3478", "host:port"),
        ("COTURN_SERVER", "[turn.example]:3478", "host:port"),
        ("COTURN_SERVER", "turn.example:99999", "host:port"),
        ("COTURN_TTL", "12h", "a whole number from 60 to 31536000"),
        ("COTURN_USER", "vws\ntoo", "without control characters"),
        ("COTURN_USER", "é" * 255, "at most 508 bytes of text"),
        ("COTURN_PASSWORD", "pass\0word", "without control characters"),
        ("COTURN_SECRET", "north\x1b[2J", "without control characters"),
        ("STUN_SERVERS", "stun.example:3478", "stun:host:port"),
        ("STUN_SERVERS", "stun:", "stun:host:port"),
        ("STATIC_LOGIN", "login.php", "a URL that starts with http:// or https://"),
        ("STATIC_LOGIN", "https://", "a URL"),
        ("NGINX_HOST", "nginx.example", "a URL that starts with http:// or https://"),
        ("NGINX_HOST", "http://nginx:port", "a URL"),
        ("REDIS_URL", "localhost:6379", "a URL that starts with redis://"),
        ("ALLOWED_ORIGINS", "example.com", "a list of origins"),
        ("ALLOWED_ORIGINS", "https://*.example.com", "a list of origins"),
        ("TRUSTED_PROXIES", "proxy.example", "a list of addresses or networks"),
        ("DATABASE_URL", "vws.db", "sqlite:///path or mysql://"),
        ("DATABASE_URL", "sqlite:///", "sqlite:///path or mysql://"),
        ("DATABASE_URL", "mysql://db.example", "sqlite:///path or mysql://"),
        ("DATABASE_URL", "postgres://db.example/vws", "sqlite:///path or mysql://"),
    ],
)
def test_a_malformed_value_is_named_with_what_it_may_be(name: str, value: str, expected: str) -> None:
    message = refusal({name: value})
    assert message.startswith(f"{name} must be ")
    assert expected in message
    assert len(message) < 300


# Database


def test_database_url_wins_over_its_parts() -> None:
    config = settings(DATABASE_URL="mysql://vws:pw@db.example:3306/vws", DB_HOST="other", DB_PORT="x")
    assert config.database_url == "mysql://vws:pw@db.example:3306/vws"


def test_database_parts_make_a_url() -> None:
    config = settings(DB_HOST="db.example", DB_USER="v@ws", DB_PASSWORD="p/w:#%", DB_NAME="calls")
    assert config.database_url == "mysql://v%40ws:p%2Fw%3A%23%25@db.example:3306/calls"
    other = settings(DB_HOST="::1", DB_PORT="3307", DB_USER="vws", DB_NAME="calls")
    assert other.database_url == "mysql://vws:@[::1]:3307/calls"


@pytest.mark.parametrize(("missing", "named"), [("DB_USER", "DB_USER"), ("DB_NAME", "DB_NAME")])
def test_incomplete_database_parts_are_refused(missing: str, named: str) -> None:
    parts = {"DB_HOST": "db.example", "DB_USER": "vws", "DB_NAME": "calls"}
    del parts[missing]
    assert named in refusal(parts)


def test_malformed_database_parts_are_named() -> None:
    parts = {"DB_USER": "vws", "DB_NAME": "calls", "DB_PASSWORD": SECRET}
    assert refusal({**parts, "DB_HOST": "db.example:3306"}).startswith("DB_HOST must be ")
    assert refusal({**parts, "DB_HOST": "db.example", "DB_PORT": "x"}).startswith("DB_PORT must be ")


# Secrets


SECRETS = {
    "STATIC_TOKEN": SECRET,
    "API_KEY": SECRET,
    "COTURN_PASSWORD": SECRET,
    "COTURN_SECRET": SECRET,
    "NGINX_KEY": SECRET,
    "REDIS_URL": f"redis://:{SECRET}@localhost:6379/0",
    "STATIC_LOGIN": f"https://shop:{SECRET}@login.example/check?key={SECRET}",
    "NGINX_HOST": f"https://vws:{SECRET}@nginx.example",
}


@pytest.mark.parametrize(
    "database",
    [
        {"DATABASE_URL": f"mysql://vws:{SECRET}@db.example/vws"},
        {"DB_HOST": "db.example", "DB_USER": "vws", "DB_NAME": "vws", "DB_PASSWORD": SECRET},
    ],
)
def test_secrets_are_shown_nowhere(database: dict[str, str]) -> None:
    config = Config.from_env({**SECRETS, **database})
    assert SECRET in config.database_url
    shown = dict(config.describe())
    assert SECRET not in f"{config!r} {config} {shown} {config.problems()}"
    assert shown["API_KEY"] == "****"
    assert shown["DATABASE_URL"].startswith("mysql://vws:****@db.example")
    assert shown["STATIC_LOGIN"] == "https://shop:****@login.example/check?key=****"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "STATIC_LOGIN", "NGINX_HOST", "NGINX_STAT"])
@pytest.mark.parametrize(
    "value", [f"http//x:{SECRET}@h", f"mysql://u:{SECRET}#x@h/n", f"redis://:{SECRET}/@h:1:2"]
)
def test_a_malformed_value_with_a_secret_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({name: value})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_effective_settings_are_described() -> None:
    shown = dict(
        settings(VWS_ENV="development", TRUSTED_PROXIES="10.0.0.0/8,::1", COTURN_TLS_PORT="5349").describe()
    )
    assert shown["VWS_ENV"] == "development"
    assert (shown["HOST"], shown["PORT"], shown["DEMO"]) == ("127.0.0.1", "3000", "true")
    assert (shown["TRUSTED_PROXIES"], shown["COTURN_TLS_PORT"]) == ("10.0.0.0/8,::1/128", "5349")
    assert (shown["API_KEY"], shown["DATABASE_URL"]) == ("", "sqlite:///vws.db")
    assert dict(Config().describe())["COTURN_TLS_PORT"] == ""


# Warnings


@pytest.mark.parametrize(
    ("variables", "warning"),
    [
        ({}, "API_KEY is blank"),
        ({}, "only accounts in the file vws.db can connect"),
        ({"STATIC_TOKEN": "t"}, "STATIC_TOKEN lets anybody in"),
        ({"STATIC_TOKEN": "t", "NGINX_HOST": "http://a"}, "STATIC_TOKEN opens the RTMP and HLS streams of"),
        ({"VWS_ENV": "development", "EXTRA_SECURITY": "1"}, "EXTRA_SECURITY does nothing"),
        ({"STATIC_ACCOUNT": "Shop"}, "STATIC_ACCOUNT does nothing without STATIC_LOGIN"),
        ({"STATIC_LOGIN": "https://shop.example/login"}, "STATIC_LOGIN does nothing without STATIC_ACCOUNT"),
        ({"COTURN_USER": "vws"}, "COTURN_USER does nothing without COTURN_PASSWORD"),
        ({"COTURN_TLS_PORT": "5349"}, "COTURN_TLS_PORT does nothing without COTURN_SERVER"),
        ({"COTURN_SECRET": "s", "COTURN_PASSWORD": "p"}, "COTURN_PASSWORD is not"),
        ({"COTURN_SERVER": "turn.example:3478"}, "COTURN_SERVER has no credentials"),
        ({"REDIS_URL": "redis://localhost"}, "REDIS_URL does nothing yet"),
        ({"NGINX_KEY": "key"}, "NGINX_… settings do nothing without NGINX_HOST"),
    ],
)
def test_what_is_allowed_but_odd_is_warned_about(variables: dict[str, str], warning: str) -> None:
    assert [problem for problem in Config.from_env(variables).problems() if warning in problem]


def test_a_sound_configuration_has_no_warnings() -> None:
    config = settings(
        API_KEY="k",
        DATABASE_URL="mysql://vws:pw@db.example/vws",
        COTURN_SERVER="turn.example:3478",
        COTURN_SECRET="s",
        STATIC_ACCOUNT="Shop",
        STATIC_LOGIN="https://shop.example/login",
        EXTRA_SECURITY="1",
    )
    assert config.problems() == []
    assert settings(VWS_ENV="development", STATIC_TOKEN="t").problems() == []


# Certificates


@pytest.mark.parametrize("ending", ["crt", "pem"])
@pytest.mark.parametrize("dot", ["", "."])
def test_certificate_files_are_found_by_their_prefix(tmp_path: Path, ending: str, dot: str) -> None:
    for name in ("vws.key", f"vws.{ending}"):
        (tmp_path / name).touch()
    prefix = str(tmp_path / "vws")
    assert settings(CERTIFICATE=prefix + dot).tls == TLSFiles(f"{prefix}.key", f"{prefix}.{ending}")


def test_crt_is_preferred_to_pem(tmp_path: Path) -> None:
    for name in ("vws.key", "vws.crt", "vws.pem"):
        (tmp_path / name).touch()
    tls = settings(CERTIFICATE=str(tmp_path / "vws")).tls
    assert tls is not None
    assert tls.cert.endswith(".crt")


@pytest.mark.parametrize("present", [[], ["vws.key"], ["vws.crt"]])
def test_missing_certificate_files_stop_the_start(tmp_path: Path, present: list[str]) -> None:
    for name in present:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"CERTIFICATE": str(tmp_path / "vws")})
    for name in ("CERTIFICATE", "vws.key", "vws.crt", "vws.pem"):
        assert name in caught.value.message


# The .env file


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config, _ = load(write(tmp_path, "PORT=4000\nHOST=::1\n"), {"PORT": "5000"})
    assert (config.port, config.host) == (5000, "::1")


def test_no_file_is_fine(tmp_path: Path) -> None:
    assert load(tmp_path, {})[0] == Config()


def test_the_current_directory_and_environment_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path, "PORT=4000\n"))
    monkeypatch.setenv("LOG_LEVEL", "debug")
    config, _ = load()
    assert (config.port, config.log_level) == (4000, "debug")


def test_the_old_servers_explanations_stay_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        "STATIC_TOKEN=#token for everybody\nAPI_KEY= # key\nCOTURN_SERVER=turn.example:3478 #host:port\n",
    )
    config, _ = load(tmp_path, {})
    assert (config.static_token, config.api_key, config.coturn_server) == ("", "", "turn.example:3478")


def test_a_password_with_a_dollar_is_kept(tmp_path: Path) -> None:
    config, _ = load(write(tmp_path, "API_KEY='a${PORT}b'\nSTATIC_TOKEN=c${HOST}d\nDEMO\n"), {})
    assert (config.api_key, config.static_token, config.demo) == ("a${PORT}b", "c${HOST}d", False)


def test_unknown_names_are_warned_about_with_a_guess(tmp_path: Path) -> None:
    write(tmp_path, f"API_KY={SECRET}\nport=4000\nFLUX_CAPACITOR=1\nAPI_KEY=k\n")
    config, warnings = load(tmp_path, {"PATH": "/bin"})
    assert warnings[:3] == [
        ".env: nothing is called API_KY; did you mean API_KEY?",
        ".env: nothing is called port; did you mean PORT?",
        ".env: nothing is called FLUX_CAPACITOR",
    ]
    assert warnings[3:] == config.problems()
    assert config.port == 3000


def test_a_file_from_windows_is_read(tmp_path: Path) -> None:
    config, warnings = load(write(tmp_path, "PORT=4000\r\nAPI_KEY=k\r\n", encoding="utf-8-sig"), {})
    assert (config.port, config.api_key) == (4000, "k")
    assert not [warning for warning in warnings if warning.startswith(".env")]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        load(tmp_path, {})


@pytest.mark.parametrize(("given", "warned"), [("devlopment", True), ("development", False), ("", False)])
def test_a_mode_that_is_none_is_warned_about(tmp_path: Path, given: str, *, warned: bool) -> None:
    _, warnings = load(tmp_path, {"VWS_ENV": given, "STATIC_TOKEN": "t", "API_KEY": "k"})
    assert any("anything but development means production" in warning for warning in warnings) is warned
