"""`python -m labs.bench.floor_server`: what HTTP alone costs here, the floor under every figure.

The same framework, models and bodies as ours, and nothing behind them: one slate for everybody, nothing read,
scored or written.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app() -> FastAPI:
    """Three routes that answer at once."""
    from fastapi import FastAPI

    from serving.wire import EventBatch, EventsAcknowledged, FeedItem, FeedRequest, FeedResponse

    same: dict[str, Any] = {"topic": 1, "value": 0.1, "source": "floor", "propensity": 1.0, "explored": False}
    items = [FeedItem(position=n, impression_id=n, video_id=n, creator_id=n, **same) for n in range(10)]
    slate = FeedResponse(
        request_id=1, release_id="floor", served_at_us=1, cold_start=False, degraded=[], items=items
    )
    app = FastAPI(title="floor")

    def feed(asked: FeedRequest) -> Any:
        return slate.model_copy(update={"items": items[: asked.limit]})

    def events(batch: EventBatch) -> Any:
        return EventsAcknowledged(stored=len(batch.events), repeated=0)

    # Routes are declared inside a function, where FastAPI cannot resolve annotations written as text.
    feed.__annotations__["asked"], events.__annotations__["batch"] = FeedRequest, EventBatch
    app.add_api_route("/v1/feed", feed, methods=["POST"], response_model=FeedResponse)
    app.add_api_route("/v1/events", events, methods=["POST"], response_model=EventsAcknowledged)
    app.add_api_route("/readyz", lambda: {"status": "ready"})
    return app


def main() -> int:
    """Serve until interrupted, on HOST and PORT."""
    import uvicorn

    host, port = os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or 8002)
    uvicorn.run(create_app(), host=host, port=port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
