# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Four planes: from one person's swipe to the release that used it
#
# We follow one impression. Somebody swipes in the world (**simulator**); what was known at that moment becomes a row
# (**feature_repo**); heads learn from it (**training**); a request is answered with them (**serving**); their probabilities
# are held to what happened (**evaluation**), and at the end we look at what nobody outside a simulated world can see: what
# the release is truly worth (**labs**).
#
# Run `make train` first. Every figure here is computed from the state it left under `var/`; nothing is typed in.

# %%
import os
from pathlib import Path

ROOT = Path.cwd() if (Path.cwd() / "feature_repo").is_dir() else Path.cwd().parent
os.chdir(ROOT)
for name, value in (("DO_NOT_TRACK", "true"), ("MLFLOW_DISABLE_TELEMETRY", "true"), ("OMP_WAIT_POLICY", "PASSIVE")):
    os.environ.setdefault(name, value)

import warnings

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from feature_repo.clock import HOUR_US, utc
from feature_repo.log import EventLog
from feature_repo.places import run_from_environment
from simulator.worlds import World

warnings.filterwarnings("ignore")  # of libraries, to people who develop them
plt.rcParams.update({"figure.figsize": (9, 3.4), "axes.spines.top": False, "axes.spines.right": False})
INK, WARM, COOL, PALE = "#333333", "#c8553d", "#2a6f97", "#d8dee4"

run = run_from_environment()
world, log = World(run.scale, run.seed), EventLog(run.places.log)
served_from = int(log.read("served", columns=["event_time"])["event_time"].to_physical()[0])
print(f"scale {run.scale}, seed {run.seed}; the feed ran from {utc(served_from):%Y-%m-%d %H:%M} to {utc(log.end_us()):%Y-%m-%d %H:%M} UTC")

# %% [markdown]
# ## The world: does it look like a real feed?
#
# A simulator proves nothing about a world unlike ours, so this one is held to published figures of a real log. Each line is
# a figure's band around the published value (1.0); each dot is our world, with its 95 % interval. (Correlations are in the
# count below, not in the picture.) The targets were committed before any model was trained. They are set for `laptop`; a
# tiny world is too small to hold them all.

# %%
from simulator.card import card, seen_in
from simulator.targets import TARGETS

found = card(*seen_in(run))
shares = [target for target in TARGETS if target.unit != "correlation"][::-1]

figure, axes = plt.subplots(figsize=(9, 5))
for place, target in enumerate(shares):
    estimate = found[target.name]
    axes.plot([target.low / target.real, target.high / target.real], [place, place], color=PALE, lw=9, solid_capstyle="butt")
    axes.plot([estimate.low / target.real, estimate.high / target.real], [place, place], color=INK, lw=1)
    axes.plot(estimate.value / target.real, place, "o", color=COOL if target.holds(estimate.value) else WARM)
axes.axvline(1.0, color=INK, lw=0.8, ls=":")
axes.set_yticks(range(len(shares)), [target.name for target in shares])
axes.set(xlabel="our world / published figure", title="Calibration card: band (grey), our world (blue inside, red outside)")
plt.show()
inside = sum(target.holds(found[target.name].value) for target in TARGETS)
print(f"{inside} of {len(TARGETS)} rows in their band at scale {run.scale}")

# %% [markdown]
# ## One session: what the thumb did, and what the person felt
#
# The log knows what was watched. The world also knows *pull*, which moves the thumb, and *satisfaction*, which decides
# whether the person is glad to have watched. Clickbait raises the one and lowers the other, so the two lines part.
# Only this notebook, labs and tests may look at them; no model ever does.

# %%
from pipelines.plan import plan_from_environment

plan = plan_from_environment()
train = plan.splits.train
served = log.read("served", train.start_us, train.end_us).select("impression_id", "request_id", "position", "propensity", "source")
watched = log.read("watched", train.start_us, train.end_us).join(served, on="impression_id")
liked = set(log.read("reacted", train.start_us, train.end_us).filter(pl.col("reaction") == "like")["impression_id"])

# The person with a like and the longest evening: something happens in their session.
evening = (
    watched.with_columns(pl.col("event_time").dt.date().alias("day"), pl.col("impression_id").is_in(list(liked)).alias("liked"))
    .group_by("user_id", "day")
    .agg(pl.len().alias("seen"), pl.col("liked").sum())
    .filter(pl.col("seen").is_between(8, 40))
    .sort("liked", "seen", "user_id", descending=[True, True, False])
    .row(0, named=True)
)
session = watched.filter((pl.col("user_id") == evening["user_id"]) & (pl.col("event_time").dt.date() == evening["day"])).sort("event_time")
user, videos = evening["user_id"], session["video_id"].to_numpy()
moments = session["event_time"].to_physical().to_numpy()
pull, satisfaction = world.pull(user, videos, moments), world.satisfaction(user, videos)
share = np.minimum(session["watched_ms"].to_numpy() / session["duration_ms"].to_numpy(), 1.0)

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, height_ratios=[2, 1])
steps = np.arange(len(session))
above.plot(steps, pull, color=COOL, marker="o", ms=4, label="pull: what the thumb feels")
above.plot(steps, satisfaction, color=WARM, marker="o", ms=4, label="satisfaction: what the person takes home")
above.axhline(0, color=PALE, zorder=0)
above.set(ylabel="logit", title=f"Person {user}, {evening['day']}: {len(session)} videos")
above.set_ylim(top=1.4 * max(pull.max(), satisfaction.max()))
above.legend(frameon=False, ncols=2, loc="upper right")
below.bar(steps, share, color=[WARM if i in liked else PALE for i in session["impression_id"]])
below.set(ylabel="share watched", xlabel="impression of the day (red: liked)")
plt.show()

# %% [markdown]
# ## One impression, and what was known when it was shown
#
# We take one impression of that session. Its training row was joined point in time: of every feature view the step
# that held at the moment, which counts only what was *known* before it. Labels come later, each with a window of its own;
# until a window has passed, a missing like is not a "no".

# %%
from pipelines.build_training_set import SNAPSHOT

snapshot = pl.read_parquet(plan.rows.needed(plan.work).path / SNAPSHOT)
rows = snapshot.filter(pl.col("impression_id").is_in(session["impression_id"].to_list())).sort("event_time")
chosen = rows.sort("like", "long_watch", "event_time", descending=[True, True, True]).row(0, named=True)
moment = chosen["event_time"]
print(f"impression {chosen['impression_id']}: video {chosen['video_id']} (topic {chosen['topic']}) at {moment:%Y-%m-%d %H:%M:%S} UTC")
print(f"watched {chosen['watched_ms'] / 1000:.1f} of {chosen['duration_ms'] / 1000:.1f} s; long watch {chosen['long_watch']}, like {chosen['like']}")

# %%
from feature_repo.catalogue import FEATURES, VIEWS
from feature_repo.labels import WINDOWS_US

def held_since(view):
    """Since when the step that this row saw had held; None where there was none and the default stands."""
    keys = [pl.col(key) == chosen[key] for key in view.keys]
    table = pl.scan_parquet(run.places.features / f"{view.name}.parquet").filter(*keys, pl.col("event_timestamp") <= moment)
    return table.select(pl.col("event_timestamp").max()).collect().item()

ages = {view.name: held_since(view) for view in VIEWS}
table = pl.DataFrame(
    [
        {"feature": f.name, "value": round(float(chosen[f.name]), 4), "view": f.view, "holds since": f"{ages[f.view]:%m-%d %H:%M}" if ages.get(f.view) else "at the request"}
        for f in FEATURES
        if f.name in chosen
    ]
)
with pl.Config(tbl_rows=60, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
    display(table)  # noqa: F821

# %%
before = log.read("watched", known_before_us=int(moment.timestamp() * 1e6)).filter(pl.col("user_id") == user).sort("event_time").tail(20)
hours = lambda times: [(time - moment).total_seconds() / 3600 for time in times]  # noqa: E731

figure, axes = plt.subplots(figsize=(9, 3.2))
known = [name for name, taken in ages.items() if taken and (moment - taken).days < 7]
for place, name in enumerate(known):
    axes.plot([hours([ages[name]])[0], 0], [place, place], color=COOL, marker="|", ms=12)
axes.plot(hours(before["event_time"]), [len(known)] * len(before), "|", color=INK, ms=12)
for place, (label, window) in enumerate(WINDOWS_US.items()):
    axes.plot([0, window / HOUR_US], [len(known) + 1 + place] * 2, color=WARM, lw=3, solid_capstyle="butt")
axes.set_yticks(range(len(known) + 1 + len(WINDOWS_US)), [*known, "the last videos watched", *(f"label: {label}" for label in WINDOWS_US)])
axes.axvline(0, color=INK, lw=0.8)
axes.set_xscale("symlog", linthresh=1)
axes.set_xticks([-168, -24, -6, -1, 0, 1, 6, 24], ["-7 d", "-24", "-6", "-1", "0", "1", "6", "24"])
axes.set(xlabel="hours from the impression (log scale beyond one hour)", title="What the row may know (left), and when its labels mature (right)")
plt.show()

# %% [markdown]
# ## What the heads learned, and whether their probabilities mean what they say
#
# The row above lies in the train days. The heads learned from it and its like, were calibrated on later days (a head with
# too few positives there keeps its own probabilities), and are judged here on days neither has touched: when a head says
# 30 %, it should happen three times in ten. Likes are rare, so their dots are noisier the smaller the world.

# %%
from evaluation.calibration import reliability
from pipelines.train_ranker import load_heads
from pipelines.training_sets import read_rows

test = read_rows(plan.rows.needed(plan.work).path / SNAPSHOT, "test")
predictions = load_heads(plan.ranker.needed(plan.work)).predict(test.matrix)

figure, panels = plt.subplots(1, 2, figsize=(9, 4))
for panel, head in zip(panels, ("long_watch", "like")):
    mature = test.mature(head)
    curve = reliability(test.label(head)[mature], np.clip(predictions[head][mature], 0, 1))
    top = 1.1 * max(curve.said.max(), curve.happened.max())
    panel.plot([0, top], [0, top], color=PALE)
    panel.plot(curve.said, curve.happened, "o-", color=COOL, ms=4)
    panel.set(title=f"{head}: calibration error {curve.gap:.4f}", xlabel="said", ylabel="happened")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## One request
#
# The same code that answers `POST /v1/feed`, called without HTTP: five sources find, filters remove, heads predict, one
# reviewed formula values, and a stochastic selector chooses, with the exact probability of each choice.

# %%
from serving import registry
from serving.compose import offline
from serving.releases import read_release

version, directory = registry.champion(run.places) or [(v.version, v.directory) for v in registry.versions(run.places)][-1]
release = read_release(directory)
now_us = log.end_us()
feed, people = offline(run.places, release, now_us)
funnel = feed.rank(people.query(user, request_id=1, now_us=now_us), np.random.default_rng(run.seed))

found_by = {f"found: {name}": len(found.video_ids) for name, found in funnel.found.items()}
removed = {f"removed: {name}": count for name, count in funnel.removed().items()}
steps = {**found_by, "distinct": len(funnel.union), **removed, "scored": len(funnel.scored), "chosen": len(funnel.slate)}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
colours = [WARM if name.startswith("removed") else COOL for name in steps]
left.bar_label(left.barh(list(steps)[::-1], list(steps.values())[::-1], color=colours[::-1]), padding=3, color=INK)
left.margins(x=0.12)
left.set(title="The funnel of one request", xlabel="videos")
right.barh(list(funnel.ms)[::-1], list(funnel.ms.values())[::-1], color=INK)
right.set(title="Where its time went (first call, nothing warm)", xlabel="ms")
plt.tight_layout()
plt.show()

# %%
slate = funnel.slate
table = pl.DataFrame(
    {
        "position": np.arange(len(slate)),
        "video": slate.ids,
        "topic": slate["topic"],
        "source": [funnel.source_of(int(row)) for row in funnel.choice.rows],
        "value": slate["value"].round(4),
        "p(long watch)": slate["long_watch"].round(3),
        "p(negative)": slate["negative"].round(5),
        "propensity": funnel.choice.propensities.round(5),
        "explored": funnel.choice.explored,
        "true satisfaction": world.satisfaction(user, slate.ids).round(2),
    }
)
with pl.Config(tbl_rows=20, tbl_cols=20, tbl_width_chars=160, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
    display(table)  # noqa: F821

# %% [markdown]
# ## What it is truly worth
#
# The same people live one session under each policy, with the same luck, so mean satisfaction per impression can be measured
# instead of inferred, and so can how long people stay. Promotion never sees either: gates decide on the log and on the slates
# a release would show, and this is where we learn whether they chose well. `logistic` is the one to look at: on held-out days
# it orders long watches and likes well, yet what is watched long is not yet what satisfies. (A tiny world has too few likes
# and follows to learn satisfaction from; there the champion may well lose to a count.)

# %%
from labs.true_value import answered

worths = answered(run, release, most=60 if run.scale == "tiny" else None).worths
order = sorted(worths, key=lambda name: worths[name].satisfaction.value)
units = {"satisfaction": "true satisfaction per impression", "session_length": "impressions per session"}
figure, panels = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
for panel, (unit, words) in zip(panels, units.items()):
    value = [getattr(worths[name], unit) for name in order]
    panel.barh(order, [each.value for each in value], color=[WARM if name == "champion" else PALE for name in order])
    panel.errorbar([each.value for each in value], order, xerr=[[e.value - e.low for e in value], [e.high - e.value for e in value]], fmt="none", color=INK, lw=1)
    panel.axvline(0, color=INK, lw=0.8)
    panel.set(xlabel=words)
figure.suptitle("One session each, same people, same luck (95 % intervals over people)")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## The release that used the swipe

# %%
import json

manifest = json.loads((directory / "manifest.json").read_text())
place = snapshot.with_row_index().filter(pl.col("impression_id") == chosen["impression_id"]).row(0, named=True)
print(f"impression {chosen['impression_id']} is row {place['index']:,} of {len(snapshot):,} (split {place['split']})")
print(f"of the training snapshot {manifest['snapshot_hash'][:16]}")
print(f"of release {manifest['release_id']}, version {version}, feature service {manifest['feature_service']}")
print(f"whose {len(manifest['files'])} files hash to {manifest['release_hash'][:16]}; the server answers with exactly these.")

# %% [markdown]
# The loop closes: what the server shows next becomes `Served` events, what people do with it becomes rows, and the next
# `make train` reads both. Next: `make serve`, then the session of `curl` calls in the README.
