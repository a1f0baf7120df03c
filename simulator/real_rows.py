"""The world beside the real rows, where somebody brought them (REAL_LOGS): quantiles, Lorenz curves, plots.

Any folder of KuaiRand's shape: impressions_*.parquet of any days, and videos_basic.parquet, the pool. Nothing
of the rows leaves this module but quantiles, rates and two Ginis. Its people are seen through a pool of a few
thousand videos, so the world's counts are thinned at random to the real mean before they are compared.

Source: Gao et al., CIKM 2022, doi 10.1145/3511808.3557624 (KuaiRand-Pure, CC BY-SA 4.0).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.table import Table

from feature_repo.clock import DAY_US
from feature_repo.labels import long_watch
from simulator.card_figures import exposures, gini
from simulator.card_rows import Observed

Floats = NDArray[np.float64]

SHARES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
"""Quantiles of the table; the plots draw every hundredth."""

IMPRESSIONS = ("user_id", "video_id", "time_ms", "play_time_ms", "duration_ms")
POOL = ("video_id", "video_duration")
DECILES = 10


class BadRealRows(ValueError):
    """A folder of real rows that cannot be compared: names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Rows:
    """What is compared, of either side."""

    play: Floats  # s, per impression
    shown: Floats  # s, duration of what was shown, per impression; NaN if unknown
    long_view: Floats  # 0 or 1, per impression
    durations: Floats  # s, per video of the pool
    per_person: NDArray[np.int64]  # impressions in `days` days, people with any
    per_video: NDArray[np.int64]  # impressions, all videos of the pool, those never shown too
    days: int

    @property
    def ratio(self) -> Floats:
        """Share of the video played, per impression of a known duration; replays count."""
        known = np.isfinite(self.shown)
        return self.play[known] / self.shown[known]


@dataclass(frozen=True)
class Beside:
    """Both sides' figures, and where they were drawn."""

    figures: dict[str, object]
    quantiles: dict[str, tuple[Floats, Floats]]  # name: (real, world) at SHARES
    plots: tuple[Path, ...]


def folder_from_environment() -> Path | None:
    """REAL_LOGS (or var/real_logs), or kuairand_pure inside it; None where neither holds impressions."""
    root = Path(os.environ.get("REAL_LOGS") or "var/real_logs")
    held = (folder for folder in (root, root / "kuairand_pure") if any(folder.glob("impressions_*.parquet")))
    return next(held, None)


def beside(seen: Observed, folder: Path, reports: Path, seed: int) -> Beside:
    """The world's rows held to the folder's: figures, quantiles, and one page of plots in `reports`."""
    real = read_rows(folder)
    world = rows_of_world(seen, real, np.random.default_rng([seed, 8]))
    ours = _quantities(world)
    pairs = {name: (theirs, ours[name]) for name, theirs in _quantities(real).items()}
    quantiles = {name: (np.quantile(r, SHARES), np.quantile(w, SHARES)) for name, (r, w) in pairs.items()}
    plot = draw(reports / "card_real_rows.png", pairs, real, world)
    return Beside(figures(real, world, quantiles, _gini_unthinned(seen)), quantiles, (plot,))


# --- reading ---------------------------------------------------------------------------------------------


def read_rows(folder: Path) -> Rows:
    """The real side; a duration of 0 is unknown, exact repeats are kept as the log has them."""
    table = pl.concat([_checked(path, IMPRESSIONS) for path in sorted(folder.glob("impressions_*.parquet"))])
    if table.is_empty():
        raise BadRealRows(f"{folder}/impressions_*.parquet has no rows; REAL_LOGS needs at least one.")
    pool = _checked(folder / "videos_basic.parquet", POOL)
    length = pl.when(pl.col("duration_ms") > 0).then(pl.col("duration_ms"))
    rows = table.select(
        play=pl.col("play_time_ms") / 1000.0,
        shown=length / 1000.0,
        long_view=long_watch(pl.col("play_time_ms"), length).cast(pl.Float64),
    )
    seconds = pool["video_duration"].drop_nulls().cast(pl.Float64).to_numpy() / 1000.0
    return Rows(
        play=rows["play"].to_numpy(),
        shown=rows["shown"].fill_null(np.nan).to_numpy(),
        long_view=rows["long_view"].to_numpy(),
        durations=seconds[seconds > 0],
        per_person=table.group_by("user_id").len()["len"].to_numpy().astype(np.int64),
        per_video=_counts(table, pool.unique("video_id")),
        days=max(1, round(float(np.ptp(table["time_ms"].to_numpy())) * 1000 / DAY_US)),
    )


def rows_of_world(seen: Observed, real: Rows, rng: np.random.Generator) -> Rows:
    """The world's side over as many last days, its counts thinned to the real means."""
    rows = seen.impressions
    since_us = int(rows["served_us"].to_numpy().max()) - real.days * DAY_US
    recent = rows.filter(pl.col("served_us") > since_us)
    per_person = recent.group_by("user_id").len().sort("user_id")["len"].to_numpy().astype(np.int64)
    per_video = _counts(recent, seen.videos)
    kept = min(1.0, float(real.per_video.mean() / max(per_video.mean(), 1e-9)))
    thinned = rng.binomial(per_person, _thinning(per_person, float(real.per_person.mean())))
    return Rows(
        play=rows["play"].to_numpy(),
        shown=rows["duration_s"].fill_null(np.nan).to_numpy(),
        long_view=rows["long_view"].to_numpy(),
        durations=seen.videos["duration_s"].drop_nulls().to_numpy(),
        per_person=thinned[thinned > 0],
        per_video=rng.binomial(per_video, kept),
        days=real.days,
    )


def _thinning(counts: NDArray[np.int64], mean: float) -> float:
    """The share of impressions to keep so that people with any left have this many on average."""
    low, high = 0.0, 1.0
    for _ in range(50):
        kept = (low + high) / 2
        left = counts.sum() * kept / (1.0 - (1.0 - kept) ** counts).sum()
        low, high = (kept, high) if left < mean else (low, kept)
    return high


def _counts(rows: pl.DataFrame, pool: pl.DataFrame) -> NDArray[np.int64]:
    """Impressions of each video of the pool, 0 for those nobody met."""
    counted = pool.select("video_id").join(rows.group_by("video_id").len(), on="video_id", how="left")
    return counted["len"].fill_null(0).to_numpy().astype(np.int64)


def _checked(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """The named columns of a file, as int64."""
    if not path.is_file():
        raise BadRealRows(f"{path} is missing. REAL_LOGS=dir must name a folder that has it.")
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as broken:
        raise BadRealRows(f"{path} is not a readable parquet file ({broken}). Fetch it again.") from broken
    for name in columns:
        dtype = table.schema.get(name)
        if dtype is None or not dtype.is_numeric():
            found = "is missing" if dtype is None else f"is {dtype}"
            raise BadRealRows(f"{path}: column {name!r} {found}, must hold numbers. Repair the file.")
    return table.select(pl.col(name).cast(pl.Int64) for name in columns).drop_nulls(columns[0])


# --- comparing -------------------------------------------------------------------------------------------


def _quantities(rows: Rows) -> dict[str, Floats]:
    """What is compared by quantiles."""
    return {
        "play time, s": rows.play,
        "duration of videos, s": rows.durations,
        "duration of what was shown, s": rows.shown[np.isfinite(rows.shown)],
        "watch ratio": rows.ratio,
        f"impressions per person, {rows.days} days": rows.per_person.astype(np.float64),
        f"exposures per video, {rows.days} days": rows.per_video.astype(np.float64),
    }


def _gini_unthinned(seen: Observed) -> float:
    return gini(np.sort(exposures(seen, 0)))


def figures(
    real: Rows, world: Rows, quantiles: Mapping[str, tuple[Floats, Floats]], unthinned: float
) -> dict[str, object]:
    """What goes into the report."""
    compared = {name: {"real": r.tolist(), "world": w.tolist()} for name, (r, w) in quantiles.items()}
    edges = np.quantile(real.shown[np.isfinite(real.shown)], np.linspace(0, 1, DECILES + 1))
    pools = {
        "real": f"all {len(real.per_video):,} videos of the pool, {len(real.play):,} impressions, "
        f"{real.days} days; its videos were chosen by the log's authors",
        "world": f"all {len(world.per_video):,} videos public by the end; thinned at random to the real mean "
        "per video, and as it is over the whole log",
    }
    return {
        "days": real.days,
        "impressions": len(real.play),
        "shares": list(SHARES),
        "quantiles": compared,
        "exposure_gini": {
            "real": _gini(real.per_video),
            "world": unthinned,
            "world_thinned": _gini(world.per_video),
            "pools": pools,
        },
        "long_view_by_duration": {
            "edges_s": edges.tolist(),
            "real": by_duration(real, edges).tolist(),
            "world": by_duration(world, edges).tolist(),
        },
    }


def by_duration(rows: Rows, edges: Floats) -> Floats:
    """long_view between each two edges of the shown video's duration; NaN where nothing was shown."""
    known = np.isfinite(rows.shown)
    cell = np.clip(np.searchsorted(edges, rows.shown[known], side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(cell, minlength=len(edges) - 1)
    total = np.bincount(cell, rows.long_view[known], len(edges) - 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _gini(counts: NDArray[np.int64]) -> float:
    return gini(np.sort(counts).astype(np.float64))


def table(found: Beside) -> Table:
    """Quantiles of both sides, line under line, and the Ginis."""
    told = Table("quantity", "of", *(f"p{100 * share:g}" for share in SHARES))
    told.title = f"The world beside {found.figures['impressions']:,} real impressions"
    for name, sides in found.quantiles.items():
        for whose, values in zip(("real", "world"), sides, strict=True):
            told.add_row(name if whose == "real" else "", whose, *(f"{value:.3g}" for value in values))
    ginis = found.figures["exposure_gini"]
    assert isinstance(ginis, dict)
    told.add_row("Gini of exposures", "real", f"{ginis['real']:.3f}")
    told.add_row("", "world", f"{ginis['world']:.3f}", f"({ginis['world_thinned']:.3f} thinned)")
    return told


# --- drawing ---------------------------------------------------------------------------------------------


def draw(path: Path, pairs: Mapping[str, tuple[Floats, Floats]], real: Rows, world: Rows) -> Path:
    """One page: quantile against quantile, the two Lorenz curves, long_view by duration."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(15, 12), layout="constrained")
    FigureCanvasAgg(page)
    panels = page.subplots(3, 3).ravel()
    for panel, (name, sides) in zip(panels, pairs.items(), strict=False):
        _draw_quantiles(panel, name, *sides)
    _draw_lorenz(panels[len(pairs)], real, world)
    _draw_by_duration(panels[len(pairs) + 1], real, world)
    for panel in panels[len(pairs) + 2 :]:
        panel.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    page.savefig(unfinished, format="png", dpi=110)
    unfinished.replace(path)
    return path


def _draw_quantiles(panel: Any, name: str, real: Floats, world: Floats) -> None:
    """Every hundredth, real across, world up; on the dotted line the two are the same."""
    hundredths = np.arange(1, 100) / 100
    across, up = np.quantile(real, hundredths), np.quantile(world, hundredths)
    positive = np.concatenate([across[across > 0], up[up > 0]])
    least = float(positive.min()) if len(positive) else 1.0
    top = float(max(across.max(), up.max(), least))
    panel.plot([0, top], [0, top], color="0.6", lw=1, ls=":")
    panel.plot(across, up, "o", ms=3, color="#1f5a8a")
    for side, set_scale in (("real", panel.set_xscale), ("world", panel.set_yscale)):
        set_scale("symlog", linthresh=least)
        (panel.set_xlabel if side == "real" else panel.set_ylabel)(side)
    panel.set_title(name)


def _draw_lorenz(panel: Any, real: Rows, world: Rows) -> None:
    """Share of exposures that the least shown share of videos got."""
    for whose, counts, colour in (("real", real.per_video, "#b3442c"), ("world", world.per_video, "#1f5a8a")):
        held = np.concatenate([[0], np.cumsum(np.sort(counts))]) / counts.sum()
        label = f"{whose}, Gini {_gini(counts):.2f}"
        panel.plot(np.linspace(0, 1, len(held)), held, color=colour, label=label)
    panel.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":")
    panel.set(title="exposures per video (world thinned)", xlabel="videos", ylabel="exposures")
    panel.legend(frameon=False)


def _draw_by_duration(panel: Any, real: Rows, world: Rows) -> None:
    edges = np.quantile(real.shown[np.isfinite(real.shown)], np.linspace(0, 1, DECILES + 1))
    middle = np.sqrt(np.maximum(edges[:-1], 1.0) * edges[1:])
    for whose, rows, colour in (("real", real, "#b3442c"), ("world", world, "#1f5a8a")):
        panel.plot(middle, by_duration(rows, edges), "o-", ms=4, color=colour, label=whose)
    panel.set(title="long_view by duration", xlabel="duration, s", ylabel="long_view", xscale="log")
    panel.legend(frameon=False)
