"""Learn two towers from long watches and likes: whoever watches this would watch that.

In-batch sampled softmax: every other video of the batch is a negative, so popular videos are drawn as
negatives in proportion to their popularity; subtracting log q undoes that (Yi et al., RecSys 2019). A video
equal to the positive is masked (an accidental hit). At random a video's id is hidden during a step, so that
content alone must speak for it: that is what a new upload has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.log import EventLog
from feature_repo.scales import Scale
from feature_repo.videos import VideoCatalog
from pipelines.plan import Plan
from pipelines.recall import RECALL_AT, next_day_recall
from pipelines.shell import Told
from pipelines.splits import Window
from pipelines.stages import Artifact, read_json, write_json
from pipelines.watches import Ints, People, labels_of, liked, people
from serving.towers import (
    Params,
    Towers,
    VideoInputs,
    initial_params,
    seen_vectors,
    user_vectors,
    video_vectors,
)


@dataclass(frozen=True)
class Settings:
    """Every number of the training, beside its user."""

    epochs: int
    batch: int
    rate: float = 3e-3
    hidden_ids: float = 0.2
    """Share of videos whose id is row 0 during a step."""
    shrink: float = 1e-3
    """Weight of the squared length of vectors: keeps scores of rare videos from running away."""

    @classmethod
    def of(cls, scale: Scale, examples: int) -> Settings:
        return cls(epochs=scale.tower_epochs, batch=1024 if examples >= 50_000 else 256)


@dataclass(frozen=True)
class Examples:
    """People and the catalogue row of the video they said yes to next."""

    people: People
    videos: Ints


def examples(log: EventLog, window: Window, catalog: VideoCatalog) -> Examples:
    """Every long watch or like of the window, with the history its person had just before it."""
    yes = liked(labels_of(log, window))
    watched = log.read("watched", end_us=window.end_us, known_before_us=window.end_us)
    joined = log.read("joined", known_before_us=window.end_us)
    times = yes["event_time"].to_physical().to_numpy()
    rows = catalog.rows_of(yes["video_id"].to_numpy())
    asked = people(joined, watched, catalog, yes["user_id"].to_numpy(), times)
    known = np.flatnonzero(rows >= 0)
    return Examples(asked.rows(known), rows[known])


def untrained(catalog: VideoCatalog, found: Examples, rng: np.random.Generator) -> Towers:
    """Towers with an id row for every video and creator among the positives or their histories."""
    rows = np.unique(np.concatenate([found.videos, found.people.history_rows[found.people.weights > 0]]))
    videos, creators = catalog.video_ids[rows], np.unique(catalog.creator_ids[rows])
    return Towers(initial_params(len(videos), len(creators), rng), videos, creators)


def log_frequencies(videos: Ints, catalog_size: int) -> npt.NDArray[np.float32]:
    """log q: how often each catalogue row is drawn into a batch; rows never drawn are never asked for."""
    counts = np.bincount(videos, minlength=catalog_size)
    return np.log(np.maximum(counts, 1) / max(len(videos), 1)).astype(np.float32)


def in_batch_loss(params: Params, batch: Mapping[str, Any], videos: VideoInputs, shrink: float) -> Any:
    """Mean softmax cross-entropy of a batch, corrected by log q, accidental hits masked (jax)."""
    import jax
    import jax.numpy as jnp

    seen = seen_vectors(params, videos)
    users = user_vectors(params, batch["profiles"], batch["history_rows"], batch["weights"], seen, jnp)
    wanted = batch["videos"]
    shown = video_vectors(params, VideoInputs(*(column[wanted] for column in videos)), jnp)
    logits = users @ shown.T - batch["log_q"][None, :]
    accidental = (wanted[:, None] == wanted[None, :]) & ~jnp.eye(len(wanted), dtype=bool)
    logits = jnp.where(accidental, -1e9, logits)
    nats = -jnp.diagonal(jax.nn.log_softmax(logits, axis=1)).mean()
    return nats + shrink * ((users**2).sum(1).mean() + (shown**2).sum(1).mean())


def with_hidden_ids(videos: VideoInputs, key: Any, share: float) -> VideoInputs:
    """The same videos, a random share of them without id, half of those without creator either."""
    import jax

    hidden = jax.random.uniform(key, videos.id_rows.shape)
    return videos._replace(
        id_rows=videos.id_rows * (hidden >= share), creator_rows=videos.creator_rows * (hidden >= share / 2)
    )


def trained(
    start: Towers,
    found: Examples,
    inputs: VideoInputs,
    settings: Settings,
    seed: int,
    told: Callable[[], None],
) -> Towers:
    """Adam over shuffled epochs; `told` is called after every step."""
    import jax
    import jax.numpy as jnp
    import optax

    optimiser = optax.adam(
        optax.cosine_decay_schedule(settings.rate, max(1, steps(found, settings)), alpha=0.05)
    )
    videos = VideoInputs(*(jnp.asarray(column) for column in inputs))
    log_q = log_frequencies(found.videos, len(inputs.id_rows))

    @jax.jit
    def step(params: Any, state: Any, batch: Any, number: Any) -> tuple[Any, Any]:
        key = jax.random.fold_in(jax.random.key(seed), number)
        slope = jax.grad(in_batch_loss)(
            params, batch, with_hidden_ids(videos, key, settings.hidden_ids), settings.shrink
        )
        updates, state = optimiser.update(slope, state, params)
        return optax.apply_updates(params, updates), state

    params = {name: jnp.asarray(values) for name, values in start.params.items()}
    state, rng = optimiser.init(params), np.random.default_rng([seed, 2])
    for number, rows in enumerate(batches(len(found.videos), settings, rng)):
        params, state = step(params, state, batch_of(found, rows, log_q), np.uint32(number))
        told()
    return Towers(
        {name: np.asarray(values) for name, values in params.items()}, start.video_ids, start.creator_ids
    )


def steps(found: Examples, settings: Settings) -> int:
    return settings.epochs * (len(found.videos) // min(settings.batch, max(1, len(found.videos))))


def batches(n: int, settings: Settings, rng: np.random.Generator) -> list[Ints]:
    """Row numbers of every batch of every epoch, whole batches only."""
    size = min(settings.batch, max(1, n))
    whole = n // size * size
    epochs = [rng.permutation(n)[:whole].reshape(-1, size) for _ in range(settings.epochs)]
    return [rows for epoch in epochs for rows in epoch]


def batch_of(found: Examples, rows: Ints, log_q: npt.NDArray[np.float32]) -> dict[str, Any]:
    who, videos = found.people, found.videos[rows]
    return {
        "profiles": who.profiles[rows],
        "history_rows": who.history_rows[rows].astype(np.int32),
        "weights": who.weights[rows],
        "videos": videos.astype(np.int32),
        "log_q": log_q[videos],
    }


def load(artifact: Artifact) -> Towers:
    with np.load(artifact.path / "towers.npz", allow_pickle=False) as arrays:
        return Towers.from_arrays(arrays)


def make(plan: Plan, told: Told) -> Callable[[Path], None]:
    """What the stage writes: the towers, and how well they retrieve on the next day."""

    def write(folder: Path) -> None:
        window, seed = plan.splits.towers, plan.run.seed
        catalog = VideoCatalog.from_log(plan.log, known_before_us=window.end_us)
        found = examples(plan.log, window, catalog)
        settings = Settings.of(plan.scale, len(found.videos))
        start = untrained(catalog, found, np.random.default_rng([seed, 1]))
        with told.progress("two towers", steps(found, settings)) as advance:
            towers = trained(start, found, start.inputs(catalog), settings, seed, advance)
        np.savez(folder / "towers.npz", **towers.arrays())  # type: ignore[arg-type]
        recall = next_day_recall(plan.log, towers, catalog, window, seed)
        figures = {f"recall_at_{RECALL_AT}_{name}": value.as_figure() for name, value in recall.items()}
        write_json(
            folder / "figures.json", {"examples": len(found.videos), "settings": asdict(settings), **figures}
        )

    return write


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Make the towers, or find them made; how well they retrieve."""
    artifact = plan.towers.made(plan.work, make(plan, told))
    return {"reused": artifact.reused, **read_json(artifact.path / "figures.json")}
