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


def test_a_right_pin_lets_in_and_everything_is_counted(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", plan=PLAN, broadcastPin="in", playbackPin="out")])
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
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

    rtmp.wait_hls("Acme/Stage")
    assert set(probe(f"{server.url}{listed['hls']}?pin=out")) == {"video", "audio"}

    bob = rtmp.play("Acme/Stage?pin=out")
    until(lambda: stats(server)["connections"] == 2, what="the player to be counted")
    bob.stop()
    until(lambda: stats(server)["connections"] == 1, what="the player to be gone")
    alice.stop()
    server.idle()
    left = stats(server)  # ffprobe is a viewer for a while
    assert not any(left.get(key) for key in ("connections", "broadcasters", "bitrate", "audioBitrate"))


def test_a_wrong_pin_is_refused(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in", playbackPin="out"), row("Shop")])
    for key in (
        "Acme/Stage",
        "Acme/Stage?pin=wrong",
        "Acme/Stage?pin=",
        "Acme/Stage?pin=out",
        "Acme/Stage?token=Shop-token",
        "Nobody/Stage?token=Acme-token",
        "Shop/Stage?pin=",
        "Stage?token=Acme-token",
        "Acme/Stage/More?token=Acme-token",
        "Acme/..?token=Acme-token",
    ):
        rtmp.publish(key).wait_ended()
    assert server.api("/channels") == []
    assert stats(server) == {}
    assert not (Path(server.settings["NGINX_HLS_PATH"]) / "Acme").exists()
    assert len(server.wait_log("rtmp-refused.*neither the token nor the pin", count=6)) == 6
    for secret in ("Acme-token", "Shop-token", "pin=", "wrong"):
        assert secret not in server.log()


def test_tokens_and_odd_stream_keys_let_in(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("My site", "T")])
    keys = ("My site/Stage?token=T", "//My site/Stage?token=T/stream", f"My site/Stage?token={TOKEN}")
    for key in (*keys, f"_static/Stage?token={TOKEN}"):
        alice = rtmp.publish(key).wait_live()
        alice.stop()
        server.idle()


def test_repeated_fields_are_of_no_use(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in"), row("Shop", broadcastPin="shop")])
    claims = "&app=x&name=Shop/Window&call=play&addr=9.9.9.9&clientid=77&pin=shop&token=Shop-token"
    alice = rtmp.publish(f"Acme/Stage{PIN}{claims}").wait_live()
    assert [name for name, _ in server.api("/channels")] == ["Stage"]
    assert set(server.api("/stats")) == {"Acme"}
    (line,) = server.wait_log("rtmp-publish ")
    assert "address=127.0.0.1" in line
    alice.stop()
    none_left(server)


def test_a_publisher_that_claims_things_on_connecting_is_refused(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in")])
    lies = ("-rtmp_flashver", "x&name=Acme/Stage&token=Acme-token", "-rtmp_pageurl", "&pin=in")
    rtmp.publish("Acme/Stage?pin=wrong", options=lies).wait_ended()
    assert server.api("/channels") == []


def test_a_suspended_account_is_refused_and_dropped_while_live(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in", playbackPin="out")])
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    bob = rtmp.play("Acme/Stage?pin=out")
    until(lambda: stats(server)["players"] == 1, what="the player to be counted")
    suspend(server, "Acme")
    alice.wait_ended()
    bob.wait_ended()
    none_left(server)
    server.wait_log("rtmp-refused call=play .*suspended")
    server.wait_log("rtmp-refused.*suspended")
    rtmp.publish(f"Acme/Stage{PIN}").wait_ended()
    rtmp.publish("Acme/Stage?token=Acme-token").wait_ended()
    assert server.api("/channels") == []


def suspend(server: Server, name: str) -> None:
    server.run_cli("accounts", "suspend", name)


def test_a_publisher_that_the_notify_site_disconnects_stops(rtmp: Rtmp) -> None:
    with raw_site() as site:
        site.answer = json_answer(200, {"streams": {"Stage": {"disconnect": "Enough"}}})
        accounts = [row("Acme", broadcastPin="in", notifyUrl=site.url)]
        server = rtmp.server(accounts=accounts)
        alice = rtmp.publish(f"Acme/Balcony{PIN}").wait_live()
        rtmp.publish(f"Acme/Stage{PIN}").wait_ended()
        server.wait_log("rtmp-refused .*disconnected by the notify site: Enough")
        assert alice.running
        alice.stop()
        none_left(server)


def test_a_stream_site_has_the_last_word_on_pins(rtmp: Rtmp) -> None:
    with raw_site() as site:
        site.answer = json_answer(200, {"broadcastPin": 77})
        server = rtmp.server(accounts=[row("Acme", streamUrl=site.url)])
        rtmp.publish("Acme/Stage?pin=78").wait_ended()
        alice = rtmp.publish("Acme/Stage?pin=77").wait_live()
        alice.stop()
        none_left(server)


def test_a_server_that_speaks_tls_is_called_through_nginx(rtmp: Rtmp) -> None:
    server = rtmp.server(tls=True, accounts=[row("Acme", broadcastPin="in")])
    rtmp.publish("Acme/Stage?pin=wrong").wait_ended()
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    suspend(server, "Acme")
    alice.wait_ended()
    none_left(server)


def test_a_changed_token_drops_what_it_let_in(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme")])
    alice = rtmp.publish("Acme/Stage?token=Acme-token").wait_live()
    server.run_cli("accounts", "rotate-token", "Acme")
    alice.wait_ended()
    none_left(server)


def test_one_quota_for_rtmp_and_webrtc(rtmp: Rtmp, clients: Clients) -> None:
    server = rtmp.server(accounts=[row("Acme", plan=PLAN, broadcastPin="in")])
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    bob = clients.token("Acme-token", server=server)
    assert bob.call("publish", "Bob", "Lobby", {"bitrate": 1500, "audioBitrate": 100})["ok"]
    assert stats(server)["bitrate"] == 3000
    rtmp.publish(f"Acme/Second{PIN}").wait_ended()
    server.wait_log("rtmp-refused.*Unfit: totalBitrate")
    assert stats(server)["issues"] == {"totalBitrate": 1}
    assert bob.call("unpublish", "Bob", "Lobby")["ok"]
    second = rtmp.publish(f"Acme/Second{PIN}").wait_live()
    answer = bob.call("publish", "Bob", "Lobby", {"bitrate": 1500})
    assert answer["error"]["message"] == "Unfit: totalBitrate."
    rtmp.publish(f"Acme/Third{PIN}").wait_ended()
    server.wait_log("rtmp-refused.*Unfit: totalBitrate, connections")
    alice.stop()
    second.stop()
    bob.close()
    none_left(server)


def test_a_stream_is_live_once(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in")])
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    rtmp.publish(f"Acme/Stage{PIN}").wait_ended()
    rtmp.publish(f"/Acme/Stage{PIN}").wait_ended()
    server.wait_log("rtmp-refused.*already live", count=2)
    assert stats(server)["broadcasters"] == 1
    assert alice.running
    alice.stop()
    none_left(server)


def test_what_nginx_measures_is_counted_and_held_against_the_plan(rtmp: Rtmp) -> None:
    plan = {**PLAN, "width": 320, "height": 240}
    server = rtmp.server(accounts=[row("Acme", plan=plan, broadcastPin="in")])
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    until(lambda: 0 < stats(server)["bitrate"] < 1500, timeout=40, what="the stream to be measured")
    assert stats(server)["bitrate"] > 0
    ((_, listed),) = server.api("/channels")
    assert (listed["width"], listed["height"], listed["frameRate"]) == (160, 120, 15)
    assert alice.running
    alice.stop()

    large = rtmp.publish(f"Acme/Large{PIN}", size="480x360")
    large.wait_ended(timeout=60)
    server.wait_log('rtmp-refused.*reason="Unfit: width, height."')
    assert stats(server)["issues"] == {"width": 1, "height": 1}
    none_left(server)


def test_streams_outlive_a_restart_of_the_server(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in")])
    alice = rtmp.publish(f"Acme/Stage{PIN}").wait_live()
    server.restart()
    alice.wait_live()
    assert stats(server)["broadcasters"] == 1
    alice.stop()
    none_left(server)


def test_streams_of_an_nginx_that_was_killed_are_gone_after_three_updates(rtmp: Rtmp) -> None:
    server = rtmp.server(accounts=[row("Acme", broadcastPin="in", playbackPin="out")])
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


def test_a_room_shows_the_stream_that_a_token_names_it_for(rtmp: Rtmp, clients: Clients) -> None:
    server = rtmp.server()
    bob = clients.verified("Bob", server=server)
    assert bob.call("roomJoin", {"room": "Hall"})["ok"]
    account = "Test Account"
    alice = rtmp.publish(f"{account}/Stage?token={TOKEN}&room=Hall").wait_live()
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
