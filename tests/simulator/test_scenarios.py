"""Scenarios are data: read whole, judged before anything is lived, composed, and told a day at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.scales import Scale
from simulator import births
from simulator.__main__ import main
from simulator.dials import DEVICES, KINDS, NEUTRAL, NEVER, TOPICS
from simulator.scenarios import BUILT_IN, CALM, BadScenario, Scenario, parsed, read

SCALE = Scale("tiny", users=400)
START_US = 1_000 * DAY_US

GOOD: dict[str, dict[str, Any]] = {
    "viral": {"topic": 3, "logits": 1.0},
    "broken_client": {"device": 1, "drop_rate": 0.03},
    "unit_change": {"device": 0},
    "stalled_features": {},
    "like_times": {"times": 2.0},
    "new_market": {"share": 0.4},
    "interest_shift": {"from_topic": 0, "to_topic": 5, "logits_per_day": 0.2},
    "spam_wave": {"times": 20},
    "traffic": {"times": 0.0},
}


def a_dial(kind: Any = "like_times", **changes: Any) -> dict[str, object]:
    """A good [[dial]] of this kind, from day 9 to day 12, 06:00, but for the changes; None removes a key."""
    table = {"kind": kind, "from": "day 9 00:00", "until": "day 12 06:00", **GOOD.get(kind, {}), **changes}
    return {key: value for key, value in table.items() if value is not None}


def a_scenario(*dials: dict[str, object], name: str = "ours") -> Scenario:
    return parsed({"name": name, "dial": list(dials)}, "ours.toml", SCALE, START_US)


def a_file(folder: Path, name: str, **dial: Any) -> str:
    """The path of a scenario file with one like_times dial."""
    table = a_dial(**dial)
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    (folder / f"{name}.toml").write_text(f'name = "{name}"\n[[dial]]\n{lines}\n')
    return str(folder / f"{name}.toml")


def moment(day: int, hour: int = 0) -> int:
    return START_US + (day - 1) * DAY_US + hour * HOUR_US


def test_no_scenario_is_calm_and_changes_nothing() -> None:
    assert read([], SCALE, START_US) == CALM
    assert {CALM.at(day) for day in range(SCALE.days)} == {NEUTRAL}


def test_topics_and_devices_are_those_people_are_born_with() -> None:
    assert (births.TOPICS, births.DEVICES) == (TOPICS, DEVICES)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_scenario_bears_its_files_name_and_does_something(name: str) -> None:
    scenario = read([name], SCALE, START_US)

    assert scenario.name == name
    assert len(scenario.dials) >= 1


def test_every_kind_of_dial_has_a_built_in_scenario_and_all_compose() -> None:
    everything = read(list(BUILT_IN), SCALE, START_US)

    assert {dial.kind for dial in everything.dials} == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_dial_holds_between_its_moments_with_its_values(kind: str) -> None:
    (dial,) = a_scenario(a_dial(kind)).of_kind(kind)

    assert (dial.from_us, dial.until_us) == (moment(9), moment(12, hour=6))
    assert {key: dial[key] for key in KINDS[kind].keys} == GOOD[kind]


def test_a_dial_without_until_holds_to_the_end_and_beyond() -> None:
    (dial,) = a_scenario(a_dial(until=None)).dials

    assert dial.until_us == NEVER
    assert dial.holds_at(moment(SCALE.days + 20))


def test_equal_scenarios_are_one_key_and_one_json() -> None:
    one, other = (a_scenario(a_dial(times=2)), a_scenario(a_dial(times=2.0)))

    assert {one: 1}[other] == 1
    assert json.dumps(one.as_json()) == json.dumps(other.as_json())


def test_the_order_of_composition_does_not_matter() -> None:
    names = ["like-button", "viral-day", "spam-wave"]

    assert read(names, SCALE, START_US) == read(names[::-1], SCALE, START_US)


def test_a_file_composes_with_a_built_in_one(tmp_path: Path) -> None:
    path = a_file(tmp_path, "early-hearts", **{"from": "day 2 00:00", "until": "day 3 00:00"})

    scenario = read(["like-button", path], SCALE, START_US)

    assert scenario.name == "early-hearts+like-button"
    assert [scenario.at(day).like_odds for day in (0, 1, 2, 8)] == [1.0, 2.0, 1.0, 2.0]


def test_the_days_of_a_like_dial_carry_its_odds_and_its_moments() -> None:
    scenario = a_scenario(a_dial(times=3.0))

    last = scenario.at(11)
    assert (last.like_odds, last.like_from_us, last.like_until_us) == (3.0, moment(12), moment(12, hour=6))
    assert scenario.at(12) == scenario.at(7) == NEUTRAL


def test_a_viral_day_names_its_topic_for_its_hours_only() -> None:
    scenario = a_scenario(a_dial("viral", **{"from": "day 9 18:00", "until": "day 9 24:00"}))

    today = scenario.at(8)
    assert (today.viral_topic, today.viral_logits) == (3, 1.0)
    assert (today.viral_from_us, today.viral_until_us) == (moment(9, hour=18), moment(10))
    assert scenario.at(9) == NEUTRAL


def test_traffic_is_the_mean_over_the_hours_of_the_day() -> None:
    morning = a_dial("traffic", times=0.0, **{"from": "day 9 00:00", "until": "day 9 06:00"})
    evening = a_dial("traffic", times=1.5, **{"from": "day 9 12:00", "until": "day 9 24:00"})

    assert a_scenario(morning, evening).at(8).traffic == pytest.approx((0 * 6 + 1 * 6 + 1.5 * 12) / 24)


def test_counts_stand_still_on_days_whose_opening_midnight_is_covered() -> None:
    scenario = a_scenario(a_dial("stalled_features", **{"from": "day 8 12:00", "until": "day 10 06:00"}))

    assert [day for day in range(SCALE.days) if scenario.at(day).stalled] == [8, 9]


def test_days_held_grow_from_the_beginning_to_the_end_of_a_dial() -> None:
    (dial,) = a_scenario(a_dial("interest_shift")).dials

    held = [dial.days_held(moment(day)) for day in (8, 9, 10, 12, 13, 20)]

    assert held == [0.0, 0.0, 1.0, 3.0, 3.25, 3.25]


def test_the_truth_says_when_what_changed_and_what_to_notice() -> None:
    (row,) = a_scenario(a_dial("broken_client")).truth()

    assert (row.kind, row.from_us, row.until_us) == ("broken_client", moment(9), moment(12, hour=6))
    assert row.values == "device 1, drop_rate 0.03"
    assert "lost" in row.changes
    assert "sample-ratio" in row.notice


BAD = {
    "an unknown key": (a_dial(speed=1), "unknown key 'speed'"),
    "another kind's key": (a_dial(topic=1), "unknown key 'topic'"),
    "a missing value": (a_dial(times=None), "'times' is missing; times is a number from 0.01 to 100"),
    "no beginning": (a_dial(**{"from": None}), "'from' is missing"),
    "no kind": (a_dial(kind=None), "kind is None, must be one of viral"),
    "an unknown kind": (a_dial(kind="like"), "kind is 'like', must be one of viral"),
    "a kind that is no text": (a_dial(kind=1), "must be one of viral"),
    "a negative rate": (
        a_dial("broken_client", drop_rate=-0.1),
        "drop_rate is -0.1, must be a number from 0 to 1",
    ),
    "a rate above 1": (
        a_dial("broken_client", drop_rate=1.1),
        "drop_rate is 1.1, must be a number from 0 to 1",
    ),
    "no number": (a_dial("traffic", times=float("nan")), "times is nan, must be a number from 0 to 10"),
    "a truth value": (a_dial("traffic", times=True), "times is True, must be a number from 0 to 10"),
    "a text": (a_dial("spam_wave", times="many"), "times is 'many', must be a number from 0 to 1000"),
    "half a topic": (a_dial("viral", topic=1.5), "topic is 1.5, must be a whole number from 0 to 23"),
    "no such topic": (a_dial("viral", topic=24), "topic is 24, must be a whole number from 0 to 23"),
    "no such device": (a_dial("unit_change", device=3), "device is 3, must be a whole number from 0 to 2"),
    "a day before the run": (a_dial(**{"from": "day 0 00:00"}), "must be within the run: days 1 to 14"),
    "a day after the run": (a_dial(until="day 15 00:00"), "must be within the run: days 1 to 14"),
    "an hour too late": (a_dial(until="day 12 25:00"), "hours 00:00 to 24:00"),
    "a minute after midnight": (a_dial(until="day 12 24:01"), "hours 00:00 to 24:00"),
    "no moment": (a_dial(until="tomorrow"), "until is 'tomorrow', must be a moment such as"),
    "a number as moment": (a_dial(**{"from": 9}), "from is 9, must be a moment such as"),
    "an end before the beginning": (
        a_dial(until="day 8 00:00"),
        "until is 'day 8 00:00', must be after from",
    ),
    "no duration": (a_dial(until="day 9 00:00"), "must be after from"),
    "a beginning at the end": (
        a_dial(until=None, **{"from": "day 14 24:00"}),
        "must be before the run's end",
    ),
    "a shift to itself": (a_dial("interest_shift", to_topic=0), "must be another topic than from_topic"),
    "a stall without a night": (
        a_dial("stalled_features", until="day 1 09:00", **{"from": "day 1 00:00"}),
        "midnight",
    ),
}


@pytest.mark.parametrize(("dial", "said"), BAD.values(), ids=BAD)
def test_a_bad_dial_is_refused_with_its_key_and_what_is_allowed(dial: dict[str, object], said: str) -> None:
    with pytest.raises(BadScenario) as refused:
        a_scenario(dial)

    assert str(refused.value).startswith("ours.toml, dial 1")
    assert said in str(refused.value)


NO_SCENARIOS: dict[str, tuple[dict[str, object], str]] = {
    "an unknown key": ({"name": "x", "dial": [a_dial()], "seed": 7}, "unknown key 'seed'"),
    "no name": ({"dial": [a_dial()]}, "name is None, must be"),
    "a name of two lines": ({"name": "a\nb", "dial": [a_dial()]}, "name is 'a\\nb', must be"),
    "no dials": ({"name": "x"}, "dial is None, must be one [[dial]] table or more"),
    "one table, no list": ({"name": "x", "dial": a_dial()}, "must be one [[dial]] table or more"),
    "a list of numbers": ({"name": "x", "dial": [1]}, "dial is [1], must be"),
}


@pytest.mark.parametrize(("table", "said"), NO_SCENARIOS.values(), ids=NO_SCENARIOS)
def test_what_is_no_scenario_is_refused(table: dict[str, object], said: str) -> None:
    with pytest.raises(BadScenario, match=r"^ours\.toml: ") as refused:
        parsed(table, "ours.toml", SCALE, START_US)

    assert said in str(refused.value)


CONTRADICTIONS = {
    "different values": (
        a_dial(times=2),
        a_dial(times=3, until=None),
        "contradict each other: times 2 from day 9",
    ),
    "the same twice": (a_dial(), a_dial(), "say the same twice"),
    "one device": (a_dial("unit_change"), a_dial("unit_change", until=None), "at different times"),
    "a shift and its reverse": (
        a_dial("interest_shift"),
        a_dial("interest_shift", from_topic=5, to_topic=0),
        "two interest_shift dials",
    ),
    "two viral topics on a day": (
        a_dial("viral", until="day 9 06:00"),
        a_dial("viral", topic=4, **{"from": "day 9 12:00"}),
        "on different days",
    ),
    "two like dials on a day": (
        a_dial(until="day 9 06:00"),
        a_dial(times=3, **{"from": "day 9 12:00"}),
        "on different days",
    ),
}


@pytest.mark.parametrize(("one", "other", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_dials_that_contradict_each_other_are_refused(
    one: dict[str, object], other: dict[str, object], said: str
) -> None:
    for dials in ((one, other), (other, one)):
        with pytest.raises(BadScenario) as refused:
            a_scenario(*dials)

        assert said in str(refused.value)


AGREEMENTS = {
    "one after the other": (
        a_dial("traffic", until="day 10 00:00"),
        a_dial("traffic", **{"from": "day 10 00:00"}),
    ),
    "like dials on neighbouring days": (
        a_dial(until="day 10 00:00"),
        a_dial(times=3, **{"from": "day 10 00:00"}),
    ),
    "two devices": (a_dial("broken_client"), a_dial("broken_client", device=2, drop_rate=0.1)),
    "two kinds": (a_dial("broken_client"), a_dial("unit_change", device=1)),
}


@pytest.mark.parametrize(("one", "other"), AGREEMENTS.values(), ids=AGREEMENTS)
def test_dials_about_different_things_or_times_agree(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert len(a_scenario(one, other).dials) == 2


def test_scenarios_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match=r"hearts and like-button: two like_times dials contradict"):
        read(["like-button", a_file(tmp_path, "hearts", times=5)], SCALE, START_US)


def test_a_scenario_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match=r"'like-button' is given twice"):
        read(["like-button", a_file(tmp_path, "like-button")], SCALE, START_US)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadScenario, match=r"no scenario 'like'\. Built in: broken-client, holiday"):
        read(["like"], SCALE, START_US)


def test_a_scenario_outside_a_shorter_run_is_refused() -> None:
    with pytest.raises(BadScenario, match="days 1 to 7"):
        read(["like-button"], Scale("week", users=400, days=7), START_US)


UNREADABLE = {"absent": None, "no TOML": b"name =", "no text": b"\xff\xfe", "too deep": b"a=" + b"[" * 5000}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadScenario, match=r"mine\.toml: not a readable TOML file"):
        read([str(path)], SCALE, START_US)


def test_a_number_too_long_to_show_is_refused_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(f'name = 0x{"f" * 9000}\n[[dial]]\nkind = "traffic"\n')

    with pytest.raises(BadScenario, match="a int too long to show"):
        read([str(path)], SCALE, START_US)


numbers = st.integers() | st.floats() | st.sampled_from([0, 1, 2, 0.5])
moments = st.builds("day {} {:02d}:{:02d}".format, st.integers(0, 16), st.integers(0, 25), st.integers(0, 60))
scalars = numbers | st.booleans() | st.text(max_size=8) | moments | st.dates() | st.datetimes()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
keys = st.sampled_from(
    ["kind", "from", "until", "speed", *(key for kind in KINDS.values() for key in kind.keys)]
)


def in_words(hours: int) -> str:
    """The moment so many hours into the run, as a file writes it."""
    return f"day {hours // 24 + 1} {hours % 24:02d}:00" if hours < 24 * SCALE.days else "day 14 24:00"


@st.composite
def likely_dials(draw: st.DrawFn) -> dict[str, object]:
    """A good table at some time of the run; one in three is then spoiled, perhaps."""
    begins = draw(st.integers(0, 24 * SCALE.days - 1))
    ends = draw(st.integers(begins + 1, 24 * SCALE.days))
    when = {"from": in_words(begins), "until": draw(st.sampled_from([in_words(ends), None]))}
    dial = a_dial(draw(st.sampled_from(sorted(KINDS))), **when)
    spoiled = st.dictionaries(keys, anything, max_size=1) | st.fixed_dictionaries({"until": moments})
    return dial | (draw(spoiled) if draw(st.integers(0, 2)) == 0 else {})


tables = st.fixed_dictionaries(
    {"name": st.just("x"), "dial": st.lists(likely_dials(), min_size=1, max_size=3)}
) | st.fixed_dictionaries({}, optional={"name": anything, "dial": st.lists(likely_dials()) | anything})


@given(table=tables)
def test_any_table_is_a_scenario_inside_the_run_or_a_bad_one(table: dict[str, object]) -> None:
    try:
        scenario = parsed(table, "any.toml", SCALE, START_US)
    except BadScenario:
        return

    end_us = START_US + SCALE.days * DAY_US
    for dial in scenario.dials:
        assert START_US <= dial.from_us < end_us
        assert dial.from_us < dial.until_us
        assert dial.until_us <= end_us or dial.until_us == NEVER
        assert all(value in KINDS[dial.kind].keys[key] for key, value in dial.values)
    json.dumps(scenario.as_json(), allow_nan=False)


@given(dial=likely_dials(), day=st.integers(0, 40))
def test_what_a_day_knows_lies_inside_that_day(dial: dict[str, object], day: int) -> None:
    try:
        today = a_scenario(dial).at(day)
    except BadScenario:
        return

    begins, ends = moment(day + 1), moment(day + 2)
    for turned, from_us, until_us in (
        (today.like_odds != 1.0, today.like_from_us, today.like_until_us),
        (today.viral_topic >= 0, today.viral_from_us, today.viral_until_us),
    ):
        assert not turned or begins <= from_us < until_us <= ends
    assert 0.0 <= today.traffic <= 10.0


def test_the_command_lists_every_built_in_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios"]) == 0

    shown = capsys.readouterr().out
    assert [name for name in BUILT_IN if name not in shown] == []


def test_the_command_says_in_one_line_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", "like-button", "like-button"]) == 1

    assert capsys.readouterr().err == (
        "scenarios: scenario 'like-button' is given twice; every scenario counts once.\n"
    )
