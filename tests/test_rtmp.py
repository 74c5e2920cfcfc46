"""RTMP with the real thing: ffmpeg publishes and plays through nginx, which asks this server."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import TOKEN, Clients
from tests.support.nginx import UPDATE_SECONDS, Rtmp, probe
from tests.support.raw_site import json_answer, raw_site
from tests.support.server import Server, row, until

PLAN = {"connections": 3, "totalBitrate": 4000, "bitrate": 1500, "audioBitrate": 100}
PIN = "?pin=in"


def stats(server: Server, account: str = "Acme") -> dict[str, Any]:
    found: dict[str, Any] = server.api("/stats").get(account, {})
    return found


def none_left(server: Server, account: str = "Acme") -> None:
    """Wait until nobody of the account is counted any more."""
    server.idle()

    def empty() -> bool:
        left = stats(server, account)
        return not any(value for key, value in left.items() if key != "issues")

    until(empty, what=lambda: f"the counts to be zero: {stats(server, account)}")


def test_a_right_pin_lets_in_and_everything_is_counted(live: Rtmp) -> None:
    server = live.accounts(row("Acme", plan=PLAN, broadcastPin="in", playbackPin="out"))
    alice = live.publish(f"Acme/Stage{PIN}").wait_live()
    ((name, listed),) = server.api("/channels")
    assert name == "Stage"
    assert listed["type"] == "rtmp"
    assert listed["account"] == "Acme"
    assert listed["hls"] == "/hls/Acme/Stage/index.m3u8"
    assert listed["peers"] == 1
    assert stats(server) == {
        "connections": 1,
        "broadcasters": 1,
        "players": 0,
        "bitrate": 1500,
        "audioBitrate": 100,
    }
    assert server.api("/status", token="Acme-token")["rtmp"]["Stage"]["bitrate"] == 1500
    assert [name for name, _ in server.api("/status")["rtmp"]] == ["Stage"]

    live.wait_hls("Acme/Stage")
    assert set(probe(f"{server.url}{listed['hls']}?pin=out")) == {"video", "audio"}

    bob = live.play("Acme/Stage?pin=out")
    until(lambda: stats(server)["connections"] == 2, what="the player to be counted")
    bob.stop()
    until(lambda: stats(server)["connections"] == 1, what="the player to be gone")
    alice.stop()
    server.idle()
    left = stats(server)  # ffprobe is a viewer for a while
    assert not any(left.get(key) for key in ("connections", "broadcasters", "bitrate", "audioBitrate"))


def test_a_wrong_pin_is_refused(live: Rtmp) -> None:
    server = live.accounts(row("Vault", broadcastPin="in", playbackPin="out"), row("Open"))
    keys = (
        "Vault/Stage",
        "Vault/Stage?pin=wrong",
        "Vault/Stage?pin=",
        "Vault/Stage?pin=out",
        "Vault/Stage?token=Open-token",
        "Nobody/Stage?token=Vault-token",
        "Open/Stage?pin=",
        "Stage?token=Vault-token",
        "Vault/Stage/More?token=Vault-token",
        "Vault/..?token=Vault-token",
    )
    for publisher in [live.publish(key) for key in keys]:
        publisher.wait_ended()
    assert server.api("/channels") == []
    assert stats(server, "Vault") == {}
    assert not (Path(server.settings["NGINX_HLS_PATH"]) / "Vault").exists()
    why = "rtmp-refused.*account=(Vault|Open) .*neither the token nor the pin"
    assert len(server.wait_log(why, count=6)) == 6
    for secret in ("Vault-token", "Open-token", "pin=", "wrong"):
        assert secret not in server.log()


def test_tokens_and_odd_stream_keys_let_in(live: Rtmp) -> None:
    server = live.accounts(row("My site", "T"))
    keys = ("My site/A?token=T", "//My site/B?token=T/stream", f"My site/C?token={TOKEN}")
    for publisher in [live.publish(key) for key in (*keys, f"_static/D?token={TOKEN}")]:
        publisher.wait_live()
    assert [name for name, _ in sorted(server.api("/channels"))] == ["A", "B", "C", "D"]


def test_repeated_fields_are_of_no_use(live: Rtmp) -> None:
    server = live.accounts(row("Booth", broadcastPin="in"), row("Shop", broadcastPin="shop"))
    claims = "&app=x&name=Shop/Window&call=play&addr=9.9.9.9&clientid=77&pin=shop&token=Shop-token"
    alice = live.publish(f"Booth/Stage{PIN}{claims}").wait_live()
    assert [name for name, _ in server.api("/channels")] == ["Stage"]
    assert stats(server, "Booth")["broadcasters"] == 1
    assert stats(server, "Shop") == {}
    (line,) = server.wait_log("rtmp-publish account=Booth ")
    assert "address=127.0.0.1" in line
    alice.stop()
    none_left(server, "Booth")


def test_a_publisher_that_claims_things_on_connecting_is_refused(live: Rtmp) -> None:
    server = live.accounts(row("Acme", broadcastPin="in"))
    lies = ("-rtmp_flashver", "x&name=Acme/Stage&token=Acme-token", "-rtmp_pageurl", "&pin=in")
    live.publish("Acme/Stage?pin=wrong", options=lies).wait_ended()
    assert server.api("/channels") == []


def test_a_suspended_account_is_refused_and_dropped_while_live(live: Rtmp) -> None:
    server = live.accounts(row("Gone", broadcastPin="in", playbackPin="out"))
    alice = live.publish(f"Gone/Stage{PIN}").wait_live()
    bob = live.play("Gone/Stage?pin=out")
    until(lambda: stats(server, "Gone")["players"] == 1, what="the player to be counted")
    suspend(server, "Gone")
    alice.wait_ended()
    bob.wait_ended()
    none_left(server, "Gone")
    for kind in ("play", "publish"):
        server.wait_log(f"rtmp-refused call={kind} account=Gone .*suspended")
    for key in (f"Gone/Stage{PIN}", "Gone/Stage?token=Gone-token"):
        live.publish(key).wait_ended()
    assert server.api("/channels") == []


def suspend(server: Server, name: str) -> None:
    server.run_cli("accounts", "suspend", name)


def test_a_publisher_that_the_notify_site_disconnects_stops(live: Rtmp) -> None:
    with raw_site() as site:
        site.answer = json_answer(200, {"streams": {"Stage": {"disconnect": "Enough"}}})
        accounts = [row("Acme", broadcastPin="in", notifyUrl=site.url)]
        server = live.accounts(*accounts)
        alice = live.publish(f"Acme/Balcony{PIN}").wait_live()
        live.publish(f"Acme/Stage{PIN}").wait_ended()
        server.wait_log("rtmp-refused .*disconnected by the notify site: Enough")
        assert alice.running
        alice.stop()
        none_left(server)


def test_a_stream_site_has_the_last_word_on_pins(live: Rtmp) -> None:
    with raw_site() as site:
        site.answer = json_answer(200, {"broadcastPin": 77})
        server = live.accounts(row("Acme", streamUrl=site.url))
        live.publish("Acme/Stage?pin=78").wait_ended()
        alice = live.publish("Acme/Stage?pin=77").wait_live()
        alice.stop()
        none_left(server)


def test_a_server_that_speaks_tls_is_called_through_nginx(rtmp: Rtmp) -> None:
    server = rtmp.server(tls=True, accounts=[row("Acme", broadcastPin="in")])
    rtmp.publish("Acme/Stage?pin=wrong").wait_ended()
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    suspend(server, "Acme")
    alice.wait_ended()
    none_left(server)


def test_a_changed_token_drops_what_it_let_in(live: Rtmp) -> None:
    server = live.accounts(row("Acme"))
    alice = live.publish("Acme/Stage?token=Acme-token").wait_live()
    server.run_cli("accounts", "rotate-token", "Acme")
    alice.wait_ended()
    none_left(server)


def test_one_quota_for_rtmp_and_webrtc(live: Rtmp, clients: Clients) -> None:
    server = live.accounts(row("Quota", plan=PLAN, broadcastPin="in"))
    alice = live.publish(f"Quota/Stage{PIN}").wait_live()
    bob = clients.token("Quota-token", server=server)
    assert bob.call("publish", "Bob", "Lobby", {"bitrate": 1500, "audioBitrate": 100})["ok"]
    assert stats(server, "Quota")["bitrate"] == 3000
    live.publish(f"Quota/Second{PIN}").wait_ended()
    server.wait_log("rtmp-refused.*Unfit: totalBitrate")
    assert stats(server, "Quota")["issues"] == {"totalBitrate": 1}
    assert bob.call("unpublish", "Bob", "Lobby")["ok"]
    second = live.publish(f"Quota/Second{PIN}").wait_live()
    answer = bob.call("publish", "Bob", "Lobby", {"bitrate": 1500})
    assert answer["error"]["message"] == "Unfit: totalBitrate."
    live.publish(f"Quota/Third{PIN}").wait_ended()
    server.wait_log("rtmp-refused.*Unfit: totalBitrate, connections")
    alice.stop()
    second.stop()
    bob.close()
    none_left(server, "Quota")


def test_a_stream_is_live_once(live: Rtmp) -> None:
    server = live.accounts(row("Acme", broadcastPin="in"))
    alice = live.publish(f"Acme/Stage{PIN}").wait_live()
    live.publish(f"Acme/Stage{PIN}").wait_ended()
    live.publish(f"/Acme/Stage{PIN}").wait_ended()
    server.wait_log("rtmp-refused.*already live", count=2)
    assert stats(server)["broadcasters"] == 1
    assert alice.running
    alice.stop()
    none_left(server)


def test_what_nginx_measures_is_counted_and_held_against_the_plan(live: Rtmp) -> None:
    plan = {**PLAN, "width": 320, "height": 240}
    server = live.accounts(row("Measured", plan=plan, broadcastPin="in"))
    large = live.publish(f"Measured/Large{PIN}", size="480x360")
    alice = live.publish(f"Measured/Stage{PIN}").wait_live()
    large.wait_ended(timeout=60)
    server.wait_log('rtmp-refused.*reason="Unfit: width, height."')
    assert stats(server, "Measured")["issues"] == {"width": 1, "height": 1}
    until(
        lambda: 0 < stats(server, "Measured")["bitrate"] < 1500, timeout=40, what="the stream to be measured"
    )
    assert stats(server, "Measured")["bitrate"] > 0
    ((_, listed),) = server.api("/channels")
    assert (listed["width"], listed["height"], listed["frameRate"]) == (160, 120, 15)
    assert alice.running
    alice.stop()
    none_left(server, "Measured")


def test_streams_outlive_a_restart_of_the_server(live: Rtmp) -> None:
    server = live.accounts(row("Acme", broadcastPin="in"))
    alice = live.publish(f"Acme/Stage{PIN}").wait_live()
    server.restart()
    alice.wait_live()
    assert stats(server)["broadcasters"] == 1
    alice.stop()
    none_left(server)


def test_streams_of_an_nginx_that_was_killed_are_gone_after_three_updates(rtmp: Rtmp) -> None:
    accounts = [row("Acme", broadcastPin="in", playbackPin="out")]
    server = rtmp.server(NGINX_UPDATE_INTERVAL="1", accounts=accounts)
    rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    rtmp.play("Acme/Stage?pin=out")
    until(lambda: stats(server)["players"] == 1, what="the player to be counted")
    rtmp.nginx.kill()
    none_left(server)
    assert len(server.wait_log("rtmp-gone", count=2)) == 2
    rtmp.nginx.start()
    again = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    again.stop()
    none_left(server)


def test_a_room_shows_the_stream_that_a_token_names_it_for(live: Rtmp, clients: Clients) -> None:
    server = live.accounts()
    bob = clients.verified("Bob", server=server)
    assert bob.call("roomJoin", {"room": "Hall"})["ok"]
    account = "Test Account"
    alice = live.publish(f"{account}/Stage?token={TOKEN}&room=Hall").wait_live()
    shown = bob.update("streamNew")["streamNew"]
    assert shown["type"] == "rtmp"
    assert shown["streamId"] == "Stage"
    assert shown["hls"] == "/hls/Test%20Account/Stage/index.m3u8"
    late = clients.verified("Charlie", server=server)
    assert late.call("roomJoin", {"room": "Hall"})["ok"]
    assert late.update("streams")["streams"]["Stage"]["type"] == "rtmp"
    alice.stop()
    assert bob.update("streamRemove")["streamRemove"] == "Stage"
    assert late.update("streamRemove")["streamRemove"] == "Stage"


def test_no_log_of_nginx_holds_a_secret(rtmp: Rtmp) -> None:
    server = rtmp.server(API_KEY="api-secret", accounts=[row("Acme", broadcastPin="in-pin")])
    rtmp.publish("Acme/Stage?pin=in-pin").wait_live().stop()
    alice = rtmp.publish("Acme/Other?token=Acme-token").wait_live()
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)) as broken:
        broken.settimeout(20)
        broken.accept()[0].close()  # nginx asks about the stream, and gets no answer
    server.start()
    alice.wait_live().stop()
    rtmp.nginx.stop()
    assert not re.search("in-pin|Acme-token|api-secret", rtmp.nginx.log())
    server.idle()


def test_idle_connections_stop_neither_streams_nor_hls(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in", playbackPin="out")])
    rtmp.nginx.limit_connections(400, rtmp=100)  # in the proportion of what is printed
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    rtmp.wait_hls("Acme/Stage")
    url = urlsplit(server.settings["NGINX_RTMP"])
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_connection((url.hostname, url.port or 0), 5))
        began = time.monotonic()
        while time.monotonic() < began + 3 * UPDATE_SECONDS:
            assert server.get("/hls/Acme/Stage/index.m3u8", pin="out").ok
            assert alice.running
            time.sleep(0.2)
