"""The features of a log, counted while something else is being prepared.

Law: what was counted ahead is what the log says, or it is not used: the log must still be the files that were
read, and all of it known by the moment that is asked about.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from feature_repo.online_writer import OnlineWriter
from feature_repo.places import Places
from feature_repo.read_ahead import ReadAhead, read_ahead


@dataclass(frozen=True)
class CountedAhead:
    """A log that is being read, and whose features are being counted."""

    places: Places
    log: ReadAhead
    _features: Future[OnlineWriter]

    def features(self, now_us: int) -> OnlineWriter:
        """As the log has them at a moment. Asked once: what is handed out changes with what comes after."""
        failed = self._features.exception()
        if failed or not self.log.is_unchanged() or self.log.all_known_us() > now_us:
            return OnlineWriter.from_log(self.places, self.log, now_us)
        return self._features.result()


def count_ahead(places: Places, log: ReadAhead | None = None) -> CountedAhead:
    """Count from now on, in a log that is being read, or that is read from now on."""
    log, pool = log or read_ahead(places.log), ThreadPoolExecutor(1, "count-ahead")
    features = pool.submit(lambda: OnlineWriter.from_log(places, log, log.all_known_us()))
    pool.shutdown(wait=False)
    return CountedAhead(places, log, features)
