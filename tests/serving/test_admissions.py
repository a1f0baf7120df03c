"""Who is let in, who waits and who is sent away, under a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from serving.admissions import Lane, Place, Width

WIDTH = Width(at_once=2, waiting=3, patience_s=0.050)


@dataclass(eq=False)
class Client:
    """Somebody who arrives and remembers what they were told."""

    lane: Lane
    at_s: float
    place: Place | None = None
    told: list[bool] = field(default_factory=list)

    def arrive(self) -> Client:
        self.place = self.lane.arrive(self.at_s, self.told.append)
        return self

    @property
    def is_refused(self) -> bool:
        return self.place is None or self.told == [False]

    def leave(self, now_s: float) -> None:
        assert self.place is not None
        self.lane.leave(self.place, now_s)


def arrived(lane: Lane, *at_s: float) -> list[Client]:
    return [Client(lane, moment).arrive() for moment in at_s]


def test_up_to_its_width_everybody_is_in_work_at_once() -> None:
    lane = Lane("feeds", WIDTH)

    assert [client.place and client.place.is_in_work for client in arrived(lane, 0, 0)] == [True, True]
    assert (lane.in_work, lane.waiting) == (2, 0)


def test_the_next_ones_wait_and_one_more_is_refused() -> None:
    lane = Lane("feeds", WIDTH)

    clients = arrived(lane, *[0.0] * 6)

    assert [client.is_refused for client in clients] == [False] * 5 + [True]
    assert (lane.in_work, lane.waiting, lane.refused) == (2, 3, 1)


def test_who_leaves_calls_the_first_who_waits() -> None:
    lane = Lane("feeds", WIDTH)
    first, _, third, fourth = arrived(lane, 0, 0, 0.001, 0.002)

    first.leave(0.010)

    assert (third.told, fourth.told) == ([True], [])
    assert (lane.in_work, lane.waiting) == (2, 1)


def test_nobody_is_let_in_after_their_patience() -> None:
    lane = Lane("feeds", WIDTH)
    first, _, late, patient = arrived(lane, 0, 0, 0.001, 0.030)

    first.leave(0.060)

    assert (late.told, patient.told) == ([False], [True])
    assert (lane.in_work, lane.refused) == (2, 1)


def test_who_would_wait_longer_than_their_patience_is_refused_on_arrival() -> None:
    lane = Lane("feeds", WIDTH)
    lane.mean_s = 0.080  # two at once: one becomes free every 40 ms

    assert [client.is_refused for client in arrived(lane, 0, 0, 0, 0)] == [False, False, False, True]


def test_a_client_who_gives_up_is_not_called() -> None:
    lane = Lane("feeds", WIDTH)
    first, _, gone, next_one = arrived(lane, 0, 0, 0, 0)
    assert gone.place is not None
    lane.give_up(gone.place)

    first.leave(0.001)

    assert (gone.told, next_one.told) == ([], [True])


def test_come_again_is_told_in_whole_seconds_and_never_at_once() -> None:
    lane = Lane("feeds", WIDTH)
    assert lane.retry_after_s() == 1

    lane.mean_s = 5.0
    assert lane.retry_after_s() == 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=80))
def test_a_lane_is_never_wider_nor_longer_than_it_may_be_and_nobody_waits_in_vain(
    steps: list[tuple[bool, int]],
) -> None:
    lane, clients, now_s = Lane("feeds", WIDTH), list[Client](), 0.0
    for arrives, passed_ms in steps:
        now_s += passed_ms / 1000
        in_work = [c for c in clients if c.place and c.place.is_in_work]
        if arrives:
            clients += arrived(lane, now_s)
        elif in_work:
            clients.remove(in_work[0])
            in_work[0].leave(now_s)

        working = [c for c in clients if c.place and c.place.is_in_work]
        assert len(working) == lane.in_work <= WIDTH.at_once
        assert lane.waiting <= WIDTH.waiting
        assert not lane.waiting or lane.in_work == WIDTH.at_once
        assert all((c.place.began_s or 0) - c.place.arrived_s <= WIDTH.patience_s for c in working if c.place)
