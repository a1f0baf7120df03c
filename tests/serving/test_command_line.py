"""`python -m serving` with settings that cannot be: one sentence, no server."""

from __future__ import annotations

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


def test_a_host_that_is_not_here_is_no_matter_of_ports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "192.0.2.1", "--port", "0"]) == 1

    assert "HOST must be an address of this machine" in capsys.readouterr().err


def test_a_scale_that_is_none_is_refused_before_a_port_is_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCALE", "huge")

    assert main([]) == 1
    assert "serve: SCALE is 'huge'" in capsys.readouterr().err
