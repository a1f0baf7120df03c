"""A hidden truth is drawn from a secret, sealed unreadably at a glance, and opened with a mark."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import sealed
from simulator.__main__ import main
from simulator.coefficients import PUBLISHED
from simulator.reveal import rows

SECRET = 20261124


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run the environment asks for."""
    for name, value in {"VAR": str(tmp_path), "SCALE": "tiny", "LOGS": "simulated"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "simulated-tiny"


def test_one_secret_is_one_world_and_another_is_another() -> None:
    assert sealed.drawn(SECRET) == sealed.drawn(SECRET)
    assert sealed.drawn(SECRET) != sealed.drawn(SECRET + 1)


@given(secret=st.integers(0, 2**128 - 1))
def test_what_is_drawn_lies_in_its_range_and_nothing_else_moves(secret: int) -> None:
    drawn, published = sealed.drawn(secret)._asdict(), PUBLISHED._asdict()

    assert all(low <= drawn[name] <= high for name, (low, high) in sealed.RANGES.items())
    assert {name for name in published if drawn[name] != published[name]} <= sealed.RANGES.keys()


def test_every_range_holds_the_published_value_and_no_intercept_is_drawn() -> None:
    published = PUBLISHED._asdict()

    assert all(low <= published[name] <= high for name, (low, high) in sealed.RANGES.items())
    assert [name for name in sealed.RANGES if "intercept" in name] == []


def test_whether_clickbait_harms_must_be_found_out() -> None:
    harms = [sealed.drawn(secret).satisfaction_clickbait < 0 for secret in range(200)]

    assert 0.6 < sum(harms) / len(harms) < 0.95


def test_two_secrets_of_the_machine_differ() -> None:
    assert sealed.new_secret() != sealed.new_secret()


@given(secret=st.integers(0, 2**64))
def test_what_is_unsealed_is_what_was_sealed(tmp_path_factory: pytest.TempPathFactory, secret: int) -> None:
    root = tmp_path_factory.mktemp("run")

    path = sealed.seal(root, sealed.drawn(secret))

    assert sealed.unseal(path) == sealed.of_run(root) == sealed.drawn(secret)


def test_a_run_without_a_seal_follows_the_published_numbers(root: Path) -> None:
    assert sealed.of_run(root) == PUBLISHED
    assert not sealed.is_sealed(root)


def test_a_sealed_file_shows_no_name_and_no_number_at_a_glance(root: Path) -> None:
    drawn = sealed.drawn(SECRET)

    written = sealed.seal(root, drawn).read_bytes().removeprefix(sealed.HEADER)

    shown = [*drawn._fields, *(f"{getattr(drawn, name):.3f}" for name in sealed.RANGES)]
    assert [word for word in shown if word.encode() in written] == []


def test_the_digest_tells_worlds_apart(root: Path) -> None:
    worlds = [PUBLISHED, *(sealed.drawn(secret) for secret in range(20))]

    assert len({sealed.digest(world) for world in worlds}) == len(worlds)
    assert sealed.digest(sealed.unseal(sealed.seal(root, worlds[1]))) == sealed.digest(worlds[1])


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_seal_with_one_bit_changed_opens_as_it_was_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    path = sealed.seal(tmp_path_factory.mktemp("run"), sealed.drawn(SECRET))
    broken = bytearray(path.read_bytes())
    broken[place % len(broken)] ^= 1 << bit
    path.write_bytes(broken)

    with contextlib.suppress(sealed.BrokenSeal):
        assert sealed.unseal(path) == sealed.drawn(SECRET)


@pytest.mark.parametrize("kept", [0, 20, 90, 200])
def test_a_seal_cut_short_is_refused(root: Path, kept: int) -> None:
    path = sealed.seal(root, sealed.drawn(SECRET))
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(sealed.BrokenSeal, match="live the world again"):
        sealed.unseal(path)


def test_a_truth_sealed_by_other_code_is_refused_with_what_differs(root: Path) -> None:
    path = sealed.seal(root, sealed.drawn(SECRET))
    other = json.dumps(sealed.drawn(SECRET)._asdict() | {"gravity": 9.81}).encode()
    path.write_bytes(sealed.HEADER + base64.b85encode(zlib.compress(other)))

    with pytest.raises(sealed.BrokenSeal, match="sealed by other code: gravity differ"):
        sealed.unseal(path)


def test_a_new_truth_in_an_opened_run_is_unopened(root: Path) -> None:
    sealed.seal(root, sealed.drawn(1))
    main(["reveal"])

    sealed.seal(root, sealed.drawn(2))

    assert sealed.of_run(root) == sealed.drawn(2)
    assert not (root / sealed.OPENED).exists()


def test_sealing_the_same_truth_again_leaves_an_opened_run_opened(root: Path) -> None:
    sealed.seal(root, sealed.drawn(1))
    main(["reveal"])

    sealed.seal(root, sealed.drawn(1))

    assert (root / sealed.OPENED).exists()


def test_a_discarded_truth_leaves_nothing_behind(root: Path) -> None:
    sealed.seal(root, sealed.drawn(1))
    main(["reveal"])

    sealed.discard(root)

    assert list(root.iterdir()) == []


def test_reveal_prints_what_was_drawn_beside_what_is_published(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed.seal(root, sealed.drawn(SECRET))

    assert main(["reveal"]) == 0

    shown = capsys.readouterr().out
    assert [name for name in sealed.RANGES if name not in shown] == []
    assert f"{sealed.drawn(SECRET).examination_decay:.3f}" in shown


def test_every_opening_is_noted_and_the_first_one_counts(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed.seal(root, sealed.drawn(SECRET))

    main(["reveal"])
    main(["reveal"])

    noted = (root / sealed.OPENED).read_text().splitlines()
    assert len(noted) == 2
    assert capsys.readouterr().out.count(f"First opened {noted[0]}") == 2


def test_reveal_refuses_a_run_that_hides_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reveal"]) == 2

    assert "has no hidden truth" in capsys.readouterr().err
    assert not root.exists()


def test_reveal_says_in_one_line_that_a_seal_is_broken(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed.seal(root, sealed.drawn(SECRET)).write_bytes(b"no seal")

    assert main(["reveal"]) == 1

    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (root / sealed.OPENED).exists()


def test_every_number_of_the_world_has_a_row() -> None:
    names = [name for name, _, _ in rows(PUBLISHED)]

    numbers = sum(4 * len(value) if isinstance(value, tuple) else 1 for value in PUBLISHED)
    assert len(names) == len(set(names)) == numbers
