#!/usr/bin/env bash
# A session that changes the feed: a stranger asks, watches one video and follows its creator, and asks again.
# Needs a running server (`make serve`), curl and python3. The README shows what it prints.
set -euo pipefail
api=http://127.0.0.1:${PORT:-8000}/v1
user=${1:-$(date +%s)} # a stranger each time

post() { curl -sS "$api/$1" -H 'content-type: application/json' -d "$2"; }
show() {
  python3 -c 'import json, sys
slate = json.load(sys.stdin)
print("request", slate["request_id"], "of", slate["release_id"], "(stranger)" if slate["cold_start"] else "")
for item in slate["items"]:
    print("  {position}  video {video_id}  creator {creator_id}  topic {topic:>2}  value {value:.3f}  {source}".format(**item))'
}

slate=$(post feed "{\"user_id\": $user, \"limit\": 6, \"explore\": false}")
show <<<"$slate"

events=$(python3 -c 'import json, sys
slate, user = json.load(sys.stdin), int(sys.argv[1])
item = slate["items"][2]
told = {"user_id": user, "event_time_us": slate["served_at_us"], "impression_id": item["impression_id"]}
watched = {**told, "kind": "watched", "event_id": "w-%d" % item["impression_id"], "video_id": item["video_id"], "watched_ms": 600000}
followed = {**told, "kind": "followed", "event_id": "f-%d" % item["impression_id"], "creator_id": item["creator_id"]}
print(json.dumps({"events": [watched, followed]}))' "$user" <<<"$slate")
echo "watches the video at position 2 to its end and follows its creator:"
echo "  $(post events "$events")"
echo "  the same batch again: $(post events "$events")"

slate=$(post feed "{\"user_id\": $user, \"limit\": 6, \"explore\": false}")
show <<<"$slate"

request=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["request_id"])' <<<"$slate")
echo "why? GET /v1/explain/$request:"
curl -sS "$api/explain/$request" | python3 -c 'import json, sys
told = json.load(sys.stdin)
removed = {name: rule["count"] for name, rule in told["removed"].items()}
print("  found", told["found"])
print("  removed", removed, "scored", len(told["scored"]), "of", told["distinct"], "distinct")'
