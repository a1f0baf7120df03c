"""`python -m serving` with settings that cannot be: one sentence, no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.__main__ import main


@pytest.mark.parametrize("port", ["abc", "-1", "99999"])
def test_a_port_that_is_none_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", port)

    with pytest.raises(SystemExit) as left:
        main([])

    assert left.value.code == 2
    assert f"PORT is '{port}', must be 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["fast", "0.5", "3601", "nan", "-1"])
def test_a_speed_the_clock_cannot_run_at_is_refused(
    speed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPEED", speed)

    with pytest.raises(SystemExit) as left:
        main([])

    assert left.value.code == 2
    assert f"SPEED is '{speed}', must be 1 to 3600" in capsys.readouterr().err


def test_a_host_that_is_not_here_is_no_matter_of_ports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "192.0.2.1", "--port", "0"]) == 1

    assert "HOST must be an address of this machine" in capsys.readouterr().err


def test_a_scale_that_is_none_is_refused_before_a_port_is_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCALE", "huge")

    assert main([]) == 1
    assert "serve: SCALE is 'huge'" in capsys.readouterr().err


def test_a_log_that_cannot_be_read_is_named_before_anybody_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR", str(tmp_path))
    monkeypatch.setenv("SCALE", "tiny")
    day = tmp_path / "simulated-tiny" / "log" / "watched" / "day=2026-06-05"
    day.mkdir(parents=True)
    (day / "half.parquet").write_bytes(b"PAR1 and no more")

    assert main(["--port", "0"]) == 1
    assert "half.parquet is not a whole parquet file" in capsys.readouterr().err
