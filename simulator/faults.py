"""What goes wrong between a phone and the log, as pure functions over frames; the truth stays in shadow.py.

Reports of watches and reactions are lost, arrive twice or late; phones' clocks are off; a field is null or
holds a sentinel. Chance is looked up by event (its impression and what it tells), so the same event meets the
same fate however the world is chunked, and a higher rate only adds to a lower one's victims. Rates:
WORLD.md section 3, from KuaiRand's files and the usual at-least-once delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import HOUR_US, SECOND_US
from simulator.births import FIRST_USER
from simulator.coefficients import REACTIONS
from simulator.luck import Floats, Keys, Purpose, keys, normal, uniforms
from simulator.worlds import World

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SENTINEL = -124
"""What KuaiRand's is_live_streamer holds for 21,127 of 27,285 people instead of a value or a null."""

LOSSY_DEVICE = 2
"""Its app loses more reports than the others: a sample-ratio mismatch for whoever compares devices."""

MOST_HOURS = 12
"""A clock that is off by whole hours is off by 1 to 12, either way: a time zone taken for UTC."""

WATCH = 0
"""Which event of an impression a fate is of: its watch, or 1 + the number of a reaction."""


@dataclass(frozen=True)
class Faults:
    """How often each thing goes wrong: shares of events, of people, of devices."""

    dropped: float = 0.005
    dropped_by_lossy_device: float = 0.03
    duplicated: float = 0.008
    late: float = 0.03
    late_median_us: int = 3 * HOUR_US
    late_sd: float = 1.2135  # of the log delay: .13 % of all events come more than a day late
    skew_sd_us: int = 3 * SECOND_US
    skewed_hours: float = 0.01
    null_duration: float = 0.0315
    sentinel: float = 0.77


USUAL = Faults()
NONE = Faults(
    dropped=0.0,
    dropped_by_lossy_device=0.0,
    duplicated=0.0,
    late=0.0,
    skew_sd_us=0,
    skewed_hours=0.0,
    null_duration=0.0,
    sentinel=0.0,
)


class Fates(NamedTuple):
    """What becomes of each event, elementwise."""

    dropped: Mask
    duplicated: Mask
    late: Mask
    delay_us: Ints  # on top of the network's; 0 where not late
    null_duration: Mask
    in_seconds: Mask  # watched_ms holds seconds
    skew_us: Ints  # of the person's clock


def fates(world: World, faults: Faults, frame: pl.DataFrame) -> Fates:
    """What becomes of these events (rows of watched or reacted, with their true times)."""
    event = reaction_numbers(frame) + 1 if "reaction" in frame.columns else np.full(len(frame), WATCH)
    of = keys(world.seed, frame["impression_id"].to_numpy())
    rows = frame["user_id"].to_numpy() - FIRST_USER
    devices, moments = world.people.device[rows], frame["event_time"].to_physical().to_numpy()
    lost = uniforms(of, Purpose.DROPPED, event) < _drop_rates(world, faults, devices, moments)
    late = uniforms(of, Purpose.LATE, event) < faults.late
    return Fates(
        dropped=lost,
        duplicated=~lost & (uniforms(of, Purpose.DUPLICATED, event) < faults.duplicated),
        late=late,
        delay_us=_lateness_us(faults, of, event, late),
        null_duration=uniforms(of, Purpose.NULL_DURATION, event) < faults.null_duration,
        in_seconds=_in_seconds(world, devices, moments),
        skew_us=skews_us(world, faults)[rows],
    )


def reaction_numbers(reacted: pl.DataFrame) -> Ints:
    """Each row's reaction as its number in behaviour.REACTIONS."""
    names = pl.Enum(REACTIONS)
    return reacted["reaction"].cast(names).to_physical().to_numpy().astype(np.int64)


def befallen(frame: pl.DataFrame, of: Fates) -> pl.DataFrame:
    """The frame as the log receives it: some rows gone, some twice, some late, some wrong."""
    copies = np.where(of.dropped, 0, 1 + of.duplicated)
    told = frame.with_columns(pl.col("known_time") + pl.Series(of.delay_us).cast(pl.Duration("us")))
    told = skewed(told, of.skew_us)
    if "watched_ms" in frame.columns:
        told = told.with_columns(
            duration_ms=pl.when(pl.Series(~of.null_duration)).then("duration_ms"),
            watched_ms=pl.when(pl.Series(of.in_seconds))
            .then(pl.col("watched_ms") // 1000)
            .otherwise("watched_ms"),
        )
    return told if (copies == 1).all() else told[np.repeat(np.arange(len(copies)), copies)]


def skewed(frame: pl.DataFrame, skew_us: Ints) -> pl.DataFrame:
    """Event times by the phones' clocks; nothing happens after we know of it, so the collector clamps."""
    event = pl.col("event_time") + pl.Series(skew_us).cast(pl.Duration("us"))
    return frame.with_columns(event_time=pl.min_horizontal(event, "known_time"))


def clocks_skewed(world: World, faults: Faults, frame: pl.DataFrame) -> pl.DataFrame:
    """Client events that never get lost, by their phones' clocks."""
    return skewed(frame, skews_us(world, faults)[frame["user_id"].to_numpy() - FIRST_USER])


def skews_us(world: World, faults: Faults) -> Ints:
    """How far each person's clock is ahead, microseconds [people]: a few seconds, or whole hours."""
    of = keys(world.seed, world.people.user_ids)
    seconds = faults.skew_sd_us * normal(uniforms(of, Purpose.SKEW), uniforms(of, Purpose.SKEW + 1))
    off = uniforms(of, Purpose.SKEWED_HOURS) < faults.skewed_hours
    drawn = np.floor(2 * MOST_HOURS * uniforms(of, Purpose.HOURS)) - MOST_HOURS  # -12..11
    hours = np.where(drawn >= 0, drawn + 1, drawn)
    return np.asarray(np.rint(seconds + off * hours * HOUR_US).astype(np.int64))


def sentinels(world: World, faults: Faults) -> Mask:
    """Whose fans band is unknown [people]."""
    return uniforms(keys(world.seed, world.people.user_ids), Purpose.SENTINEL) < faults.sentinel


def with_sentinels(world: World, faults: Faults, joined: pl.DataFrame) -> pl.DataFrame:
    """People as they are told: -124 where nobody knows the fans band."""
    unknown = pl.Series(sentinels(world, faults)[joined["user_id"].to_numpy() - FIRST_USER])
    code = pl.lit(SENTINEL, joined.schema["fans_band"])
    return joined.with_columns(fans_band=pl.when(unknown).then(code).otherwise("fans_band"))


def _drop_rates(world: World, faults: Faults, devices: Ints, moments_us: Ints) -> Floats:
    """P(lost) of each event: by device, and by the scenario's broken clients."""
    rates = np.where(devices == LOSSY_DEVICE, faults.dropped_by_lossy_device, faults.dropped)
    for dial in world.scenario.of_kind("broken_client"):
        broken = (devices == dial["device"]) & dial.holds_at(moments_us)
        rates = np.where(broken, np.maximum(rates, dial["drop_rate"]), rates)
    return rates


def _in_seconds(world: World, devices: Ints, moments_us: Ints) -> Mask:
    changed = np.zeros(len(devices), dtype=bool)
    for dial in world.scenario.of_kind("unit_change"):
        changed |= (devices == dial["device"]) & dial.holds_at(moments_us)
    return changed


def _lateness_us(faults: Faults, of: Keys, events: Ints, late: Mask) -> Ints:
    """Log-normal delays of the late [n], 0 for the others."""
    found = np.zeros(len(of), dtype=np.int64)
    some, event = of[late], events[late]
    luck = normal(uniforms(some, Purpose.LATENESS, event), uniforms(some, Purpose.LATENESS + 1, event))
    found[late] = np.rint(faults.late_median_us * np.exp(faults.late_sd * luck))
    return found
