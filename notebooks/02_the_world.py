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
# # The world: eight pictures of what nobody outside it can see
#
# Here is the world that makes the logs: who opens the app, what their thumb does and what they take home, which videos live
# and which are never met. The log shows the outside of it; this page shows the inside. Before each picture stands a question,
# after it what the picture says, in figures computed from the very rows that were drawn.
#
# Nothing needs to be trained first: the page lives its own world, of the scale and seed that `SCALE` and `SEED` name
# (`tiny` and `laptop` take seconds; `tiny` has too few people for smooth curves). It is the world of `python -m simulator logs`
# before any report of it was lost, doubled or late. Only notebooks, labs and tests may look at it like this; no model does.

# %%
import os
from pathlib import Path

ROOT = Path.cwd() if (Path.cwd() / "feature_repo").is_dir() else Path.cwd().parent
os.chdir(ROOT)

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from IPython.display import Markdown, display
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import FuncFormatter, NullFormatter

from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US, utc
from feature_repo.places import run_from_environment
from simulator import behaviour
from simulator.days import before_the_log, digested, lived
from simulator.exposures import GRID, SWIPE, reacted
from simulator.logging_policy import video_scores
from simulator.slates import DEFAULT, SLATE
from simulator.uploads import MOST_ENERGY
from simulator.visits import SESSIONS_PER_DAY
from simulator.worlds import World

INK, WARM, COOL, PALE, GREY = "#333333", "#c8553d", "#2a6f97", "#d8dee4", "#8a949e"
plt.rcParams.update(
    {"figure.figsize": (9, 3.4), "figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False}
    | {"axes.titlesize": 11, "axes.titlelocation": "left", "legend.frameon": False, "axes.edgecolor": GREY}
    | {"axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "text.color": INK}
)
HEART = LinearSegmentedColormap.from_list("heart", [WARM, "#dcc9a0", COOL])


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


PERCENT = FuncFormatter(lambda value, _: percent(value))
COUNT = FuncFormatter(lambda value, _: f"{value:,.0f}")


def say(sentence: str) -> None:
    """The sentence after a picture."""
    display(Markdown(sentence))


run = run_from_environment()
world = World(run.scale, run.seed)
memory, lived_days, mornings = before_the_log(world), [], []
for day in range(world.days):
    policy_knows = digested(world, DEFAULT, day, memory)
    mornings.append((memory.energy, memory.recent, policy_knows.video_scores, video_scores(memory.counts)))
    lived_days.append(lived(world, DEFAULT, day, memory))
energy, recent, score, score_of_counts = (np.stack(column) for column in zip(*mornings, strict=True))

every = np.concatenate([day.rows for day in lived_days])
rows = every[~world.people.bot[every["person"]]]  # people only
watched = rows[rows["reached"]]
videos, c = world.videos, world.coefficients
LIKE = behaviour.REACTIONS.index("like")
say(
    f"Scale `{run.scale}`, seed {run.seed}: from {utc(world.start_us):%d %B %Y} {world.days} days were lived by "
    f"{(~world.people.bot).sum():,} people and {world.people.bot.sum()} bots. People were served {len(rows):,} items "
    f"and watched {len(watched):,} of them."
)

# %% [markdown]
# ## 1. A day: what does one person do, and how does it feel?
#
# A swipe session plays video after video until the person leaves; what the slate still held is never seen. A grid session
# shows pages of covers; eyes may pass over a cover, and only what is tapped plays. A bar is how long a video was watched, the
# pale bar behind it how long it lasts (cut off at the top), and colour is *satisfaction*: what the person takes home, which no log records.

# %%
per_visit = (
    pl.DataFrame({name: rows[name] for name in ("person", "session", "surface", "reached", "examined", "watched_ms", "served_us")})
    .with_columns(liked=reacted(rows, LIKE), gone=pl.col("reached") & (pl.col("watched_ms") == 0), passed=pl.col("examined") & ~pl.col("reached"))
    .group_by("person", "session")
    .agg(pl.len().alias("served"), pl.col("gone", "passed", "liked", "reached").sum(), pl.col("served_us", "surface").first())
)
per_day = per_visit.group_by("person", day=pl.col("session") // SESSIONS_PER_DAY).agg(
    pl.col("gone", "passed", "liked", "reached", "served").sum(),
    least=pl.col("reached").min(),
    most=pl.col("served").max(),
    grid=(pl.col("surface") == GRID).any() & (pl.col("surface") == SWIPE).any(),
    visits=pl.len(),
    hours=(pl.col("served_us").max() - pl.col("served_us").min()) / HOUR_US,
)
wishes = [  # both surfaces, some of everything, through the day, and no more than fits on a page
    pl.col("grid"),
    pl.col("served").is_between(50, 90),
    pl.col("most") <= 40,
    pl.col("least") >= 3,
    pl.col("liked").is_between(2, 4),
    pl.col("gone") > 1,
    pl.col("passed") > 0,
    pl.col("visits").is_between(3, 4),
    pl.col("hours") > 6,
]
granted = sum(wish.cast(pl.Int32) for wish in wishes)
chosen = per_day.sort(granted, pl.col("reached") / pl.col("served"), "person", "day", descending=True).row(0, named=True)
today = rows[(rows["person"] == chosen["person"]) & (rows["session"] // SESSIONS_PER_DAY == chosen["day"])]
dawn_us = world.start_us + chosen["day"] * DAY_US

seconds, length = today["watched_ms"] / 1000, videos.duration_ms[today["video"]] / 1000
shade = Normalize(-3, 3)
numbers = np.unique(today["session"])
places = np.arange(len(today)) + 8 * np.searchsorted(numbers, today["session"])
seen, liked = today["reached"], reacted(today, LIKE)
top = max(1.5 * seconds.max(), 60)

figure, (clock, axes) = plt.subplots(2, 1, figsize=(12, 5.6), height_ratios=[1, 4.6], gridspec_kw={"hspace": 0.62})
hours = np.linspace(0, 24, 200)
clock.fill_between(hours, behaviour.hour_intensity(hours), color=PALE, lw=0)
clock.set(xlim=(0, 24), ylim=(0, 2.1), xticks=range(0, 25, 3), yticks=[])
clock.set_xticklabels([f"{hour:02d}:00" for hour in range(0, 25, 3)])
clock.spines["left"].set_visible(False)
clock.set_title(
    f"Person {world.people.user_ids[chosen['person']]} on {utc(dawn_us):%A %d %B}: {len(numbers)} visits to the app (UTC; pale: when everybody comes)"
)

axes.bar(places[seen], length[seen], color="#eef1f4", width=0.9)
axes.bar(places[seen], seconds[seen], color=HEART(shade(today["satisfaction"][seen])), width=0.8)
gone = seen & (today["watched_ms"] == 0)
passed, unseen = ~seen & today["examined"], ~seen & ~today["examined"]
for which, marker, colour, fill, label in (
    (gone, "x", INK, INK, "swiped away at once"),
    (passed, "o", GREY, GREY, "cover seen, not tapped"),
    (unseen, "o", GREY, "none", "served, never seen"),
):
    axes.plot(places[which], np.full(which.sum(), 0.0015 * top), marker, mec=colour, mfc=fill, ms=4, label=label)
axes.plot(places[liked], (np.sqrt(seconds[liked]) + 0.05 * np.sqrt(top)) ** 2, marker="$\u2665$", ls="", color=WARM, ms=9, label="liked")
for number in numbers:
    part, mine = today[today["session"] == number], places[today["session"] == number]
    on_grid = part["surface"][0] == GRID
    ends_us = (part["started_us"] + 1000 * part["watched_ms"].astype(np.int64))[part["reached"]].max(initial=part["served_us"].max())
    took_s = (ends_us - part["served_us"][0]) // 1_000_000
    clock.plot((part["served_us"][0] - dawn_us) / HOUR_US, 0.45, marker="v", color=INK, ms=10)
    last = mine[-1] if on_grid else mine[part["reached"]][-1]
    axes.plot([last + 0.75] * 2, [0, 0.72 * top], color=INK, lw=1)
    axes.text(last + 1.1, 0.72 * top, "leaves", va="top", fontsize=8.5)
    above = {"transform": axes.get_xaxis_transform(), "va": "bottom"}
    axes.text(mine[0] - 0.5, 1.10, f"{utc(int(part['served_us'][0])):%H:%M} {'grid' if on_grid else 'swipe'}", weight="bold", **above)
    axes.text(mine[0] - 0.5, 1.02, f"{part['reached'].sum()} of {len(part)}, {took_s // 60}:{took_s % 60:02d} min", fontsize=8.5, color=GREY, **above)
axes.set_yscale("function", functions=(lambda s: np.sqrt(np.maximum(s, 0)), np.square))
axes.set(ylim=(0, top), xlim=(-1.5, places[-1] + 7), xticks=[], ylabel="seconds (square-root scale)")
axes.set_yticks([tick for tick in (1, 5, 20, 60, 120, 240, 480, 960) if tick < top])
axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=9, handletextpad=0.3)
bar = figure.colorbar(plt.cm.ScalarMappable(shade, HEART), ax=[clock, axes], shrink=0.5, pad=0.02, anchor=(0, 0.12))
bar.set_label("satisfaction (logits)")
bar.outline.set_visible(False)
plt.show()

glad = np.corrcoef(today["watched_ms"][seen], today["satisfaction"][seen])[0, 1]
say(
    f"Of {len(today)} items served, {seen.sum()} were watched, for {seconds.sum() / 60:.0f} minutes in all, {gone.sum()} of them swiped away at once; "
    f"{liked.sum()} got a like. Between seconds watched and satisfaction the day's correlation is {glad:.2f}."
)

# %% [markdown]
# ## 2. A video's life: how does the feed use up a video, and does it matter whether its subject ages?
#
# A topical video is news: it pulls most when new. An evergreen pulls the same every day. We follow the most watched of each
# among the uploads of the first two days, and behind them (thick and pale) all uploads of those days. The policy's score is
# what it believes every morning: the video's counts, less something for its age (dotted: without that).

# %%
born = np.concatenate([day.published for day in lived_days[:2]])
born = born[videos.removed_us[born] >= world.end_us]
ages = np.arange(world.days - 2)
found = watched[np.isin(watched["video"], born)]
age = (found["served_us"] - videos.uploaded_us[found["video"]]) // DAY_US
long_view = behaviour.reached(found["watched_ms"] / 1000, videos.duration_ms[found["video"]] / 1000, behaviour.LONG_VIEW_S)
cells = np.searchsorted(born_in_order := np.sort(born), found["video"]) * len(ages) + np.minimum(age, len(ages) - 1)
inside = age < len(ages)
shown = np.bincount(cells[inside], minlength=len(born) * len(ages)).reshape(len(born), -1)
stayed = np.bincount(cells[inside], long_view[inside], minlength=len(born) * len(ages)).reshape(len(born), -1)

first_morning = (videos.uploaded_us[born_in_order] - world.start_us) // DAY_US + 1
mornings_of = np.minimum(first_morning[:, None] + ages, world.days - 1)
believed = score[mornings_of, born_in_order[:, None]]
counted = score_of_counts[mornings_of, born_in_order[:, None]] * DEFAULT.by_counts

kinds = {"topical": (WARM, ~videos.evergreen[born_in_order]), "evergreen": (COOL, videos.evergreen[born_in_order])}
figure, panels = plt.subplots(1, 3, figsize=(12, 3.7))
hero = {}
for kind, (colour, mask) in kinds.items():
    members = np.flatnonzero(mask)
    hero[kind] = one = members[np.argmax(shown[members].sum(axis=1))]
    all_shown = shown[members].sum(axis=0)
    behind = {"color": colour, "alpha": 0.22, "lw": 5, "solid_capstyle": "round"}
    panels[0].plot(ages, all_shown / len(members), **behind)
    panels[1].plot(ages, stayed[members].sum(axis=0) / np.maximum(all_shown, 1), **behind)
    panels[2].plot(ages, believed[members].mean(axis=0), **behind)
    panels[0].plot(ages, shown[one], "o-", color=colour, ms=4, label=f"{kind}, video {videos.video_ids[born_in_order[one]]}")
    rate = stayed[one] / np.maximum(shown[one], 1)
    error = 1.96 * np.sqrt(np.maximum(rate * (1 - rate), 0.01) / np.maximum(shown[one], 1))
    enough = shown[one] >= 15
    panels[1].errorbar(ages[enough], rate[enough], error[enough], fmt="o", color=colour, ms=4, lw=1)
    panels[2].plot(ages, believed[one], "o-", color=colour, ms=4)
    panels[2].plot(ages, counted[one], ":", color=colour, lw=1.2)
panels[0].set_yscale("symlog", linthresh=1, linscale=0.4)
panels[0].set_ylim(bottom=0)
panels[0].yaxis.set_major_formatter(COUNT)
figure.legend(loc="lower center", ncols=2)
panels[0].set_title("Impressions per day (log scale)")
panels[1].set_title("Share watched long (days with 15 or more)")
panels[1].set_ylim(0, 1)
panels[1].yaxis.set_major_formatter(PERCENT)
panels[2].set_title("The policy's score, by morning")
for panel in panels:
    panel.set_xlabel("days since upload")
plt.tight_layout(rect=(0, 0.08, 1, 1))
plt.show()

shares = {kind: shown[mask][:, 3:].sum() / max(shown[mask].sum(), 1) for kind, (_, mask) in kinds.items()}
say(
    f"Of all impressions of these uploads, the topical had {percent(shares['topical'])} and the evergreens {percent(shares['evergreen'])} after their third day; "
    f"the topical video drawn had {shown[hero['topical'], :3].sum():,} in its first three days and {shown[hero['topical'], 3:].sum():,} in all that followed, "
    f"the evergreen {shown[hero['evergreen'], :3].sum():,} and {shown[hero['evergreen'], 3:].sum():,}."
)

# %% [markdown]
# ## 3. A creator's weeks: what does being seen do to somebody who makes videos?
#
# Every dot is a video the creator could make at that moment. It stands at the energy it would take; it is published if the
# creator has more than that on the day (filled), and else the world never sees it (hollow). Energy follows reach: who is
# seen gains heart, who is starved fades. Of all pairs of creators with about as many ideas, these two ended furthest apart.

# %%
creators = len(world.creators.fans)
open_to_all = ~videos.caught & (videos.uploaded_us >= world.start_us) & (videos.uploaded_us < world.end_us)
ideas = np.bincount(videos.creators[open_to_all], minlength=creators)
met_by_some = np.isin(np.arange(creators), videos.creators[watched["video"]])
quiet = met_by_some & ~world.creators.spam & (np.bincount(videos.creators, videos.caught, minlength=creators) == 0)
busy = np.flatnonzero(quiet & (ideas >= min(10, np.sort(ideas[quiet])[-20:][0])) & (ideas <= 30))
last_energy = energy[-1, busy]
apart = np.where(np.abs(ideas[busy][:, None] - ideas[busy]) <= 2, last_energy[:, None] - last_energy, -1.0)
lifted, starved = busy[list(np.unravel_index(np.argmax(apart), apart.shape))]
per_creator_day = np.bincount(
    videos.creators[watched["video"]] * np.int64(world.days) + watched["session"] // SESSIONS_PER_DAY, minlength=creators * world.days
).reshape(creators, world.days)

figure, panels = plt.subplots(2, 2, figsize=(11, 5), sharex=True, sharey="row", height_ratios=[1.6, 1])
told = {}
for column, (name, creator, colour) in enumerate((("Seen", lifted, COOL), ("Starved", starved, WARM))):
    above, below = panels[:, column]
    mine = np.flatnonzero(open_to_all & (videos.creators == creator))
    when = (videos.uploaded_us[mine] - world.start_us) / DAY_US
    takes = videos.urge[mine] * MOST_ENERGY
    out = np.isin(mine, memory.public)
    above.step(np.arange(world.days + 1), [*energy[:, creator], energy[-1, creator]], where="post", color=colour, lw=2)
    above.axhline(1, color=PALE, zorder=0)
    above.plot(when[out], takes[out], "o", color=colour, ms=6, label=f"published: {out.sum()}")
    above.plot(when[~out], takes[~out], "o", mec=GREY, mfc="white", ms=6, label=f"never made: {(~out).sum()}")
    above.set_title(f"{name}: creator {world.creators.creator_ids[creator]} ({world.creators.fans[creator]:,.0f} fans)")
    above.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, -0.2), handletextpad=0.1)
    below.bar(np.arange(world.days) + 0.5, per_creator_day[creator], color=colour, width=0.85)
    below.set(xlabel="day of the log")
    told[name] = (out.sum(), len(mine), energy[-1, creator], per_creator_day[creator].sum())
panels[0, 0].set(ylabel="energy (1 is usual)", ylim=(0, 1.06 * MOST_ENERGY))
panels[1, 0].set_yscale("symlog", linthresh=10, linscale=0.6)
panels[1, 0].set(ylabel="impressions per day", ylim=(0, 2 * per_creator_day[[lifted, starved]].max()))
panels[1, 0].yaxis.set_major_formatter(COUNT)
plt.tight_layout()
plt.show()

ends = {name: f"{shows:,} impressions, energy {left:.2f} on the last morning, {out} of {of} ideas published" for name, (out, of, left, shows) in told.items()}
say(
    f"Who is seen: {ends['Seen']}. Who is starved: {ends['Starved']}. "
    f"Of all {creators:,} creators, {percent((energy[-1] < 0.9).mean())} end below nine tenths of the usual energy and {percent((energy[-1] > 1.1).mean())} above eleven tenths."
)

# %% [markdown]
# ## 4. The two truths of clickbait: what happens when a video promises more than it keeps?
#
# Two videos of one topic, chosen by the truth to be alike in quality, length and fit to people, and unlike in clickbait.
# Everybody meets both, a day after upload; each person is two dots. *Pull* moves the thumb, *satisfaction* is what they take home.

# %%
able = np.flatnonzero(~videos.evergreen & (videos.violation == 0) & (videos.duration_ms < 180_000))
crowd = np.flatnonzero(~world.people.bot)
if len(crowd) > 1500:
    crowd = np.sort(np.random.default_rng([world.seed, 8]).permutation(crowd)[:1500])
fit = world.taste(0)[crowd].mean(axis=0) @ videos.embedding[able].T
alike = np.column_stack([videos.quality[able], np.log(videos.duration_ms[able]), fit / fit.std(), 0.5 * fit])
bait = able[videos.clickbait[able] > np.quantile(videos.clickbait[able], 0.97)]
honest = able[videos.clickbait[able] < np.quantile(videos.clickbait[able], 0.25)]
features = dict(zip(able.tolist(), alike, strict=True))
pairs = [
    (float(((features[one] - features[other]) ** 2).sum()), one, other)
    for one in bait.tolist()
    for other in honest[videos.topics[honest] == videos.topics[one]].tolist()
]
_, baiting, plain = min(pairs)


def met(video: int) -> dict[str, object]:
    """What everybody in the crowd would make of a video: latents, and expected behaviour."""
    moment = videos.uploaded_us[video] + DAY_US
    meeting = world.encounters(crowd, video, moment)
    rng = np.random.default_rng([world.seed, 9])  # the same thumbs for both videos
    luck = behaviour.WatchLuck(*rng.random((7, 200, len(crowd))))
    likes = world.label_probabilities(world.people.user_ids[crowd], videos.video_ids[video], moment)["like"]
    answers = behaviour.survey_answer(c, meeting.satisfaction, rng.normal(size=(200, len(crowd))))
    return {
        "pull": meeting.pull,
        "satisfaction": meeting.satisfaction,
        "seconds watched": behaviour.watched_seconds(c, meeting.pull, meeting.duration_ms / 1000, luck).mean(),
        "likes of 1,000": 1000 * likes.mean(),
        "answer in a survey\n(1 to 5)": answers.mean(),
    }


both = {"clickbait": met(baiting), "honest": met(plain)}
colours = {"clickbait": WARM, "honest": COOL}
figure = plt.figure(figsize=(12, 4.6))
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
axes = left.subplots()
for name in ("honest", "clickbait"):
    axes.plot(both[name]["pull"], both[name]["satisfaction"], "o", color=colours[name], ms=3, alpha=0.35, mec="none")
for name in ("honest", "clickbait"):
    middle = both[name]["pull"].mean(), both[name]["satisfaction"].mean()
    axes.plot(*middle, "o", color=colours[name], ms=13, mec="white", mew=2)
    axes.annotate(name, middle, (0, 11), textcoords="offset points", ha="center", weight="bold", color=colours[name], bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1})
limits = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
axes.plot(limits, limits, color=GREY, lw=0.8, ls=":", zorder=0)
axes.set(xlim=limits, ylim=limits, xlabel="pull (logits)", ylabel="satisfaction (logits)", aspect="equal")
axes.set_title(f"{len(crowd):,} people meet two videos of topic {videos.topics[baiting]}")
panels = right.subplots(1, 3)
for panel, measure in zip(panels, list(both["honest"])[2:]):
    values = [both[name][measure] for name in ("honest", "clickbait")]
    drawn = panel.bar(["honest", "clickbait"], values, color=[COOL, WARM], width=0.62)
    panel.bar_label(drawn, fmt="%.1f", padding=2)
    panel.set_title(measure, loc="center")
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.set_ylim((1, 5) if "survey" in measure else (0, 1.12 * max(values)))  # a survey starts at 1
right.subplots_adjust(top=0.8, bottom=0.12, left=0.02, right=0.98)
plt.show()

fooled = float(np.mean((both["clickbait"]["pull"] > both["honest"]["pull"]) & (both["clickbait"]["satisfaction"] < both["honest"]["satisfaction"])))
say(
    f"{percent(fooled)} of people feel more pull from the clickbait and take home less (quality {videos.quality[baiting]:.2f}, {videos.duration_ms[baiting] / 1000:.0f} s long; "
    f"the honest one {videos.quality[plain]:.2f}, {videos.duration_ms[plain] / 1000:.0f} s): it is watched {both['clickbait']['seconds watched']:.1f} s on average and the honest one {both['honest']['seconds watched']:.1f} s,"
    f" while of 1,000 people {both['clickbait']['likes of 1,000']:.1f} against {both['honest']['likes of 1,000']:.1f} would like it."
)

# %% [markdown]
# Is that one pair, or is it the corpus?

# %%
public = np.sort(memory.public)
sample = np.random.default_rng([world.seed, 10]).permutation(public)[:2500]
some = crowd[:250]
meeting = world.encounters(some[:, None], sample[None, :], videos.uploaded_us[sample][None, :] + DAY_US)
x, y, lure = meeting.pull.mean(axis=0), meeting.satisfaction.mean(axis=0), videos.clickbait[sample]

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=[1.15, 1])
order = np.argsort(lure)
lures = LinearSegmentedColormap.from_list("lure", [COOL, "#e3ddd3", WARM])
dots = left.scatter(x[order], y[order], c=lure[order], cmap=lures, vmin=-2, vmax=2.5, s=11, lw=0)
bar = figure.colorbar(dots, ax=left, pad=0.02, shrink=0.8)
bar.set_label("clickbait (standard deviations)")
bar.outline.set_visible(False)
left.set(xlabel="mean pull over people", ylabel="mean satisfaction over people", title=f"{len(sample):,} videos")
tenth = np.argsort(np.argsort(lure, kind="stable"), kind="stable") * 10 // len(lure)
pulls, kept = (np.array([values[tenth == t].mean() for t in range(10)]) for values in (x, y))
right.plot(range(1, 11), pulls, "o-", color=INK)
right.plot(range(1, 11), kept, "o-", color=WARM)
right.text(10.25, pulls[-1], "pull", color=INK, va="center", weight="bold")
right.text(10.25, kept[-1], "satisfaction", color=WARM, va="center", weight="bold")
right.set(xlabel="tenths of videos, by clickbait", ylabel="logits, mean", xticks=range(1, 11), xlim=(0.6, 12.6), title="What they promise, and what they keep")
plt.tight_layout()
plt.show()

say(
    f"Over these videos pull and satisfaction correlate at {np.corrcoef(x, y)[0, 1]:.2f}; clickbait correlates with pull at {np.corrcoef(lure, x)[0, 1]:.2f} "
    f"and with satisfaction at {np.corrcoef(lure, y)[0, 1]:.2f}."
)

# %% [markdown]
# ## 5. Who is still there: is what we see deep in a session true of everybody?
#
# The tenth video of a slate is only watched by those who have not left. The world knows what the others would have done with
# it, for the slate had been served whole. Same sessions, same slates (the first of each swipe session); only who answers differs.
# Two things decide who is left: whom the slate pleased, and who is patient anyway, and patient people are the pickier ones. On
# the right the two are told apart, by comparing within tenths of equally patient people.

# %%
first = rows[(rows["surface"] == SWIPE) & (rows["request"] == 0)]
person, video = first["person"].astype(np.int64), first["video"].astype(np.int64)
weary = behaviour.weariness(c, recent[first["session"] // SESSIONS_PER_DAY, person, videos.topics[video]])
pull = world.encounters(person, video, first["served_us"], weary).pull
length_s = videos.duration_ms[video] / 1000
would = behaviour.reach_probability(c, pull, length_s, behaviour.LONG_VIEW_S)
did = behaviour.reached(first["watched_ms"] / 1000, length_s, behaviour.LONG_VIEW_S)

depth, there = first["position"], first["reached"]
served, left_over = (np.bincount(depth, weights, minlength=SLATE) for weights in (None, there))
observed_rate = np.bincount(depth, did * there, minlength=SLATE) / left_over
everybody = np.bincount(depth, would, minlength=SLATE) / served
error = 1.96 * np.sqrt(observed_rate * (1 - observed_rate) / left_over)

by_patience = np.argsort(np.argsort(world.people.patience, kind="stable"), kind="stable") * 10 // len(world.people.patience)
cell = by_patience[person] * SLATE + depth
all_of, left_of, would_of, stayed_would_of = (
    np.bincount(cell, weights, minlength=10 * SLATE).reshape(10, SLATE) for weights in (None, there, would, would * there)
)
within = stayed_would_of / np.maximum(left_of, 1) - would_of / np.maximum(all_of, 1)
pleased = (all_of * within).sum(axis=0) / served  # equally patient people: those left, less all
together = stayed_would_of.sum(axis=0) / left_of.sum(axis=0) - everybody
steps = np.arange(1, SLATE + 1)

figure = plt.figure(figsize=(12, 5), layout="constrained")
left, beside = figure.subfigures(1, 2, width_ratios=[1.35, 1])
above, below = left.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
right = beside.subplots()
above.fill_between(steps, everybody, observed_rate, color=PALE, alpha=0.6, lw=0)
above.errorbar(steps, observed_rate, error, fmt="o-", color=WARM, ms=5, lw=1.5, elinewidth=1, label="those still there, as observed (bars: 95 %)")
above.plot(steps, everybody, "o-", color=COOL, ms=5, label="everybody who was served, in truth")
above.set(title="Share watched long, by depth of the first slate", xticks=steps)
above.yaxis.set_major_formatter(PERCENT)
above.legend(loc="upper right")
below.bar(steps, left_over / served, color=PALE, width=0.8)
below.bar_label(below.containers[0], [percent(share) for share in left_over / served], padding=2, fontsize=9)
below.set(xlabel="position in the slate", ylim=(0, 1.25), yticks=[], ylabel="still there")
below.spines["left"].set_visible(False)
right.axhline(0, color=GREY, lw=0.8)
parts = (("by whom the slate pleased", pleased, COOL), ("by who is patient", together - pleased, GREY), ("in all", together, INK))
for words, line, colour in parts:
    right.plot(steps, 100 * line, "o-", color=colour, ms=4, lw=2 if words == "in all" else 1.5, label=words)
right.set(xlabel="position in the slate", xticks=steps, title="Those still there, less everybody (points)")
right.legend(loc="best")
plt.show()

say(
    f"At position {SLATE}, where {percent(left_over[-1] / served[-1])} of {served[-1]:,} sessions are still there, the log says {percent(observed_rate[-1], 1)} long views; "
    f"of everybody who was served that slate it would have been {percent(everybody[-1], 1)}. That the slate pleased those who stayed accounts for "
    f"{100 * pleased[-1]:+.1f} points there, and who is patient for {100 * (together - pleased)[-1]:+.1f}."
)

# %% [markdown]
# ## 6. The grid: do taps tell where people look?
#
# Eyes fall on the cover at rank *k* with probability 1/*k*, to the power of eta; the better covers are also put first. Whoever
# reads attention off the taps alone takes the policy's good taste for the page's. Dividing by what each cover would have been
# tapped, had it been seen, gives attention back; only the truth can, or an experiment.

# %%
from simulator.enumeration import examination_curve

page = rows[rows["surface"] == GRID]
tapping = behaviour.tap_probability(c, page["pull"], videos.clickbait[page["video"]])
at = page["position"]
taps, shows, due = (np.bincount(at, weights, minlength=SLATE) for weights in (page["reached"], None, tapping))
looked = np.bincount(at, page["examined"], minlength=SLATE) / shows
naive = (taps / shows) / (taps[0] / shows[0])
naive_error = 1.96 * naive * np.sqrt(1 / np.maximum(taps, 1) + 1 / max(taps[0], 1))
mended = taps / due
mended_error = 1.96 * np.sqrt(taps) / due
true_curve = examination_curve(world, SLATE)

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2))
left.plot(steps, true_curve, color=INK, lw=5, alpha=0.25, solid_capstyle="round", label=f"the truth: k to the power of -{c.examination_decay:g}")
left.plot(steps, looked, "_", color=INK, ms=13, mew=2, label="covers eyes did fall on")
left.errorbar(steps * 1.03, mended, mended_error, fmt="o", color=COOL, ms=5, lw=1, label="taps over what covers deserved")
left.errorbar(steps / 1.03, naive, naive_error, fmt="o", color=WARM, ms=5, lw=1, label="taps alone, over those at rank 1")
left.set_xscale("log")
left.set_yscale("log")
left.set_xticks(steps, [str(step) for step in steps])
left.xaxis.set_minor_formatter(NullFormatter())
left.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["5 %", "10 %", "20 %", "50 %", "100 %"])
left.yaxis.set_minor_formatter(NullFormatter())
left.set(xlim=(0.9, 11.5), xlabel="rank on the page (log scale)", title="P(eyes fall on it), log scale; bars: 95 %")
left.legend(loc="lower left", fontsize=9)
right.bar(steps, due / shows, color=PALE)
right.bar_label(right.containers[0], [f"{percent(share)}" for share in due / shows], padding=2, fontsize=9)
right.set(xticks=steps, yticks=[], xlabel="rank on the page", title="Taps the covers would have got if all were seen")
right.spines["left"].set_visible(False)
plt.tight_layout()
plt.show()

say(
    f"{taps.sum():,.0f} taps on {shows.sum():,.0f} covers: at rank {SLATE} the truth is {percent(true_curve[-1], 1)} of the top's attention, taps alone say {percent(naive[-1], 1)}, "
    f"and taps over what the covers deserved {percent(mended[-1], 1)}."
)

# %% [markdown]
# ## 7. Inequality: how much of the attention goes to how few, and who is counted?
#
# A log knows the videos somebody met. Most studies stop there; the videos nobody met are part of the world, too. The Lorenz
# curve orders videos from least to most met and adds up their impressions; the Gini coefficient is how far it sags below the
# diagonal, on which all would be met alike.

# %%
from simulator.card_figures import exposures, gini
from simulator.card_rows import observed_in

seen_by_card = observed_in(world, lived_days)
in_all = np.sort(exposures(seen_by_card, world.start_us))
on_last = np.sort(exposures(seen_by_card, world.end_us - DAY_US))
curves = {
    f"all public videos, {world.days} days": (in_all, COOL, 2.2),
    f"those somebody met, {world.days} days": (in_all[in_all > 0], WARM, 2.2),
    "those somebody met on the last day": (on_last[on_last > 0], GREY, 1.4),
}

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8))
left.plot([0, 1], [0, 1], color=PALE)
for name, (amounts, colour, width) in curves.items():
    share = np.linspace(0, 1, len(amounts) + 1)
    left.plot(share, np.concatenate([[0], np.cumsum(amounts)]) / amounts.sum(), color=colour, lw=width, label=f"{name}\nGini {gini(amounts):.2f}")
for amounts, colour, words in ((in_all, COOL, f"{world.days} days"), (on_last, GREY, "the last day")):
    falling = amounts[amounts > 0][::-1]
    right.plot(np.arange(1, len(falling) + 1), falling, color=colour, lw=2.2)
    right.annotate(words, (1, falling[0]), (4, 5), textcoords="offset points", color=colour, weight="bold")
left.legend(loc="upper left", fontsize=9, labelspacing=0.9)
left.set(xlabel="share of videos, least met first", ylabel="share of impressions", title="Lorenz curves", xlim=(0, 1), ylim=(0, 1.01))
for axis in (left.xaxis, left.yaxis):
    axis.set_major_formatter(PERCENT)
right.set_xscale("log")
right.set_yscale("log")
for axis in (right.xaxis, right.yaxis):
    axis.set_major_formatter(COUNT)
right.margins(y=0.09)
right.set(xlabel="rank of the video", ylabel="impressions", title="Impressions by rank (log scales)")
plt.tight_layout()
plt.show()

top = in_all[::-1][: max(1, len(in_all) // 100)].sum() / in_all.sum()
say(
    f"Of {len(in_all):,} public videos {percent(np.mean(in_all == 0))} were met by nobody and the top 1 % had {percent(top)} of all impressions; "
    f"counted over all of them the Gini is {gini(in_all):.2f}, over those met {gini(in_all[in_all > 0]):.2f}, over those met on the last day {gini(on_last[on_last > 0]):.2f}."
)

# %% [markdown]
# ## 8. The calibration card: is it a world like ours?
#
# Every row is a figure of a real log that was published, with a band that was written down before any model was trained on this
# world. All bands are drawn equally wide; the mark is the published figure, the dot our world, with its 95 % interval (cut off
# at the picture's edge). The bands were made for `laptop`.

# %%
from simulator.card import card
from simulator.targets import TARGETS

found = card(world, seen_by_card)
groups = {
    "watching": ("click", "long_view", "zero_play", "play_mean_s", "play_median_s", "long_view_random", "long_view_ratio", "explored"),
    "reacting": ("like", "comment", "share", "follow", "hide", "profile"),
    "going with a long view": tuple(target.name for target in TARGETS if target.name.startswith("corr_")),
    "people": tuple(t.name for t in TARGETS if t.name.startswith(("long_view_activity", "gap_", "videos_per_day"))),
}
named = {name for names in groups.values() for name in names}
groups["videos"] = tuple(target.name for target in TARGETS if target.name not in named)
targets = {target.name: target for target in TARGETS}
UNITS = {"share": " %", "seconds": " s", "days": " d"}


def told_of(value: float, unit: str) -> str:
    """A figure with its unit, shares in per cent."""
    if not np.isfinite(value):
        return "too few"
    if unit == "correlation":
        return f"{value:.3f}"
    digits = f"{100 * value if unit == 'share' else value:#.3g}".rstrip(".")
    return digits + UNITS.get(unit, "")


EDGE = 1.9
figure, axes = plt.subplots(figsize=(9.5, 0.23 * sum(len(names) + 1.4 for names in groups.values())))
columns = ((0, "the band", "center", GREY), (2.5, "published", "right", GREY), (3.15, "this world", "right", INK))
for x, words, side, colour in columns:
    axes.text(x, -0.4, words, ha=side, va="center", fontsize=9, color=colour)
place = 0.0
for group, names in groups.items():
    axes.text(-2.05, place, group, weight="bold", ha="right", va="center")
    place += 1
    for name in names:
        target, estimate = targets[name], found[name]
        value, low, high, real = (
            2 * (x - target.low) / (target.high - target.low) - 1 for x in (estimate.value, estimate.low, estimate.high, target.real)
        )
        axes.plot([-1, 1], [place, place], color=PALE, lw=9, solid_capstyle="butt", zorder=1)
        axes.plot(real, place, "|", color=INK, ms=9, mew=1.4, zorder=2)
        if np.isfinite(value):
            colour = COOL if target.holds(estimate.value) else WARM
            marker = "o" if abs(value) < EDGE else "<" if value < 0 else ">"
            axes.plot(np.clip([low, high], -EDGE, EDGE), [place] * 2, color=colour, lw=1.2, zorder=3)
            axes.plot(np.clip(value, -EDGE, EDGE), place, marker, color=colour, ms=6, mec="white", mew=0.6, zorder=4)
        axes.text(-2.05, place, name, ha="right", va="center", fontsize=9)
        axes.text(2.5, place, told_of(target.real, target.unit), ha="right", va="center", fontsize=9, color=GREY)
        axes.text(3.15, place, told_of(estimate.value, target.unit), ha="right", va="center", fontsize=9)
        place += 1
    place += 0.4
axes.set(xlim=(-2, 2), ylim=(place - 0.4, -1), xticks=[], yticks=[])
for side in axes.spines.values():
    side.set_visible(False)
axes.set_title(f"{len(TARGETS)} rows of the calibration card")
plt.show()

outside = [target.name for target in TARGETS if not target.holds(found[target.name].value)]
within = len(TARGETS) - len(outside)
say(
    f"{within} of {len(TARGETS)} rows are in their band at scale `{run.scale}`, seed {run.seed}"
    + (f"; outside: {', '.join(f'`{name}`' for name in outside)}." if outside else ".")
)

# %% [markdown]
# Where the world is known to differ from a real log, the card says so by name: `make card`. Next:
# [`01_four_planes`](01_four_planes.ipynb) follows one impression of this world to the release that learned from it.
