"""What a server writes down of what it did: logs and metrics."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fastxfer.server import LimitsConfig, LogConfig, TimeoutsConfig
from tests.server.dialogue import USER, Dialogue, Running, wait_for


def test_transfers_are_logged(serve: Callable[..., Running], root: Path, tmp_path: Path) -> None:
    xferlog, log = tmp_path / "xferlog", tmp_path / "log.json"
    server = serve(log=LogConfig(xferlog=str(xferlog), json=str(log)))
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR a file\x85with blanks".encode(), b"12345").code in (226, 553)
        assert client.put("STOR a file", b"12345").code == 226
        client.expect(350, "REST 1")
        assert client.fetch("RETR a file") == b"2345"
    wait_for(lambda: log.read_text().count('"/a file"') == 2)
    up, down = [json.loads(line) for line in log.read_text().splitlines() if '"/a file"' in line]
    assert (up["direction"], up["bytes"], up["ok"], up["user"]) == ("upload", 5, True, USER)
    assert (down["direction"], down["bytes"], down["offset"], down["tls"]) == ("download", 4, 1, False)
    lines = [line for line in xferlog.read_text().splitlines() if "/a_file " in line]
    assert re.fullmatch(
        rf"\w{{3}} \w{{3}} \d\d \d\d:\d\d:\d\d \d{{4}} 1 127\.0\.0\.1 5 /a_file b _ i r {USER} ftp 0 \* c", lines[0]
    )
    os.rename(log, tmp_path / "log.json.1")
    server.do(_reload(server))
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR b", b"1").code == 226
    wait_for(lambda: len(log.read_text().splitlines()) == 1)


def test_a_log_that_cannot_be_opened_anew_goes_on_as_it_was(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "log.json"
    server = serve(log=LogConfig(json=str(log)))
    os.rename(tmp_path / "logs", tmp_path / "moved")
    server.do(_reload(server))
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR file", b"1").code == 226
    wait_for(lambda: '"/file"' in (tmp_path / "moved" / "log.json").read_text())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_log_on_a_full_disk_stops_nobody(serve: Callable[..., Running], root: Path) -> None:
    server = serve(log=LogConfig(json="/dev/full", xferlog="/dev/full"))
    with Dialogue(server.address) as client:
        client.login()
        assert client.put("STOR file", b"1").code == 226
        server.do(_reload(server))
        assert client.put("STOR file", b"12").code == 226
        wait_for(lambda: (root / "file").read_bytes() == b"12")
    server.stop()


def test_the_log_tells_why_a_transfer_has_failed(serve: Callable[..., Running], tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    server = serve(log=LogConfig(json=str(log)), timeouts=TimeoutsConfig(data_connect=0.1, shutdown=1.0))
    with Dialogue(server.address) as client:
        client.login()
        client.passive()
        client.expect(150, "STOR never")
        assert client.read().code == 425
        with client.data_after("STOR gone") as data:
            data.sendall(b"x")
            client.close()
            wait_for(lambda: log.read_text().count("\n") == 2)
    errors = [json.loads(line)["error"] for line in log.read_text().splitlines()]
    assert errors == ["425 no data connection", "the control connection was closed"]


async def _reload(server: Running) -> None:
    server.server.reload()


def test_metrics_count(serve: Callable[..., Running]) -> None:
    pytest.importorskip("prometheus_client", reason="needs the extra `metrics`")
    server = serve(metrics=True, limits=LimitsConfig(login_delay=0.0))
    with Dialogue(server.address) as client:
        client.expect(331, f"USER {USER}")
        client.expect(530, "PASS x")
        client.login()
        assert client.put("STOR file", b"12345").code == 226
        metrics = server.server.service.metrics
        assert metrics is not None
        wait_for(lambda: b"fastxfer_transfers_active 0.0" in metrics.text())
        text = metrics.text().decode()
    assert "fastxfer_sessions 1.0" in text
    assert 'fastxfer_logins_total{protocol="ftp",result="ok"} 1.0' in text
    assert 'fastxfer_logins_total{protocol="ftp",result="failed"} 1.0' in text
    assert 'fastxfer_transfers_total{direction="upload",protocol="ftp",result="ok"} 1.0' in text
    assert 'fastxfer_bytes_total{direction="upload",protocol="ftp"} 5.0' in text
