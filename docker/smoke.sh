#!/usr/bin/env bash
# Tests the container image the way it is meant to be run: builds it (or takes the one named), starts it with a
# read-only root file system, without capabilities and with the memory that compose.yaml gives it, requests a distribution and a stream, fills its
# memory, and stops it. Checks its labels and its bill of materials.
#
#   docker/smoke.sh [IMAGE]
#
# Needs docker, curl, cargo, git and python3 (3.11 or later).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly healthy_within_s=60
readonly answered_within=10s # the largest requests take longer than they may by default
readonly grace_s=30 # longer than the server's own --shutdown-grace, as an orchestrator would set it

main() {
  answers=$(mktemp -d)
  container=
  trap clean_up EXIT
  image=${1:-}
  if [[ -z "$image" ]]; then
    step build
  fi
  step start
  step becomes_healthy
  step runs_without_privileges
  step runs_as_any_user
  step has_labels
  step lists_what_it_holds
  step answers_a_distribution
  step answers_a_stream
  step stays_within_its_memory
  step stops_on_sigterm
  echo "smoke: the image $image works"
}

build() {
  image=rnnlm-server:smoke
  echo "building $image; the first build takes minutes"
  docker build --quiet --tag "$image" \
    --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)" \
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" . >/dev/null
  said="$image, $(($(docker image inspect --format '{{.Size}}' "$image") / 1000000)) MB"
}

start() {
  memory=$(sed -n 's/^  mem_limit: //p' docker/compose.yaml | head -n 1)
  container=$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges --memory "$memory" --memory-swap "$memory" \
    --env RNNLM_REQUEST_TIMEOUT="$answered_within" \
    --health-interval 1s --publish 127.0.0.1::8080 "$image")
  url=http://$(docker port "$container" 8080/tcp | head -n 1)
  said="container ${container:0:12} at $url"
}

becomes_healthy() {
  local state='{{with .State.Health}}{{.Status}}{{else}}without a health check{{end}}{{if not .State.Running}}, exited{{end}}'
  local health='' deadline=$((SECONDS + healthy_within_s)) begun=$SECONDS
  while [[ "$health" != healthy ]]; do
    health=$(docker inspect --format "$state" "$container")
    [[ "$health" != *exited* ]] || fail "the container is $health, expected it to run"
    ((SECONDS < deadline)) || fail "the container is $health after $healthy_within_s s, expected healthy"
    sleep 0.2
  done
  said="after $((SECONDS - begun)) s"
}

# An orchestrator may choose a user that the image does not know, as OpenShift does.
runs_as_any_user() {
  local answer
  answer=$(docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --network none --user 4242:0 \
    "$image" next --model /models/shakespeare-rnn KING --top-k 1 --json) || fail "the program fails as user 4242"
  said=$(python3 -c 'import json, sys; print("user 4242,", len(json.load(sys.stdin)["distribution"]), "token")' <<<"$answer") \
    || fail "found $answer, expected a distribution"
}

has_labels() {
  local label value
  for label in title description licenses version revision base.name; do
    value=$(docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$label\"}}" "$image")
    [[ -n "$value" ]] || fail "found no label \`org.opencontainers.image.$label\`"
  done
  said="title, description, licenses, version, revision, base.name"
}

lists_what_it_holds() {
  docker/sbom.py "$image" >"$answers/sbom.json" || fail "no bill of materials can be made"
  said=$(python3 - "$answers/sbom.json" <<'PYTHON'
import collections, json, sys
parts = json.load(open(sys.argv[1]))["components"]
counts = collections.Counter(part["bom-ref"].split("/")[0] for part in parts)
crates, packages = counts["pkg:cargo"], counts["pkg:deb"]
names = {part["name"] for part in parts}
assert {"tokio", "libc6"} <= names, "found neither tokio nor libc6"
print(f"{crates} crates, {packages} packages of Debian, {len(parts) - crates - packages} models")
PYTHON
  ) || fail "the bill of materials lacks something"
}

runs_without_privileges() {
  local status
  status=$(docker exec "$container" cat /proc/1/status)
  grep -Eq '^Uid:\s+[1-9]' <<<"$status" || fail "found $(grep Uid: <<<"$status"), expected a non-root user"
  grep -Eq '^CapEff:\s+0+$' <<<"$status" || fail "found $(grep CapEff: <<<"$status"), expected no capabilities"
  if docker exec --user 0 "$container" touch /written 2>/dev/null; then
    fail "the root file system is writable, expected read-only"
  fi
  said="user $(awk '/^Uid:/ { print $2 }' <<<"$status"), no capabilities, read-only root"
}

answers_a_distribution() {
  ask /v1/next '{"text": "KING", "top_k": 10, "full": true}'
  said=$(python3 - "$answers/body" <<'PYTHON'
import json, math, sys
answer = json.load(open(sys.argv[1]))
probs = [token["prob"] for token in answer["distribution"]]
total = math.fsum(math.exp(logprob) for logprob in answer["logprobs"])
assert len(probs) == 10, f"found {len(probs)} tokens, expected 10"
assert probs == sorted(probs, reverse=True), f"found {probs}, expected the most likely first"
assert 0 < sum(probs) <= 1, f"found a sum of {sum(probs)} over ten tokens, expected at most 1"
assert abs(total - 1) < 1e-5, f"found a sum of {total} over all tokens, expected 1"
best = answer["distribution"][0]
print(f"{len(answer['logprobs'])} probabilities, sum {total:.7f}, most likely {best['text']!r} {best['prob']:.4f}")
PYTHON
  ) || fail "the distribution is wrong"
}

answers_a_stream() {
  ask /v1/generate '{"text": "KING", "max_tokens": 32, "seed": 1, "stream": true}'
  said=$(python3 - "$answers/body" <<'PYTHON'
import json, sys
events = []
for block in open(sys.argv[1], encoding="utf-8", newline="").read().split("\n\n"):
    lines = [line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")]
    if fields := dict(lines):
        events.append((fields["event"], json.loads(fields["data"])))
names = [name for name, _ in events]
tokens = [data for name, data in events if name == "token"]
assert names == ["start"] + ["token"] * len(tokens) + ["done"], f"found events {names}"
count = events[-1][1]["choices"][0]["token_count"]
assert count == len(tokens) == 32, f"found {len(tokens)} token events and a count of {count}, expected 32"
text = "".join(data["text"] for data in tokens) + events[-1][1]["choices"][0]["text"]
print(f"{len(tokens)} tokens, {text!r}")
PYTHON
  ) || fail "the stream is wrong"
}

# With a full table of sessions and the largest requests.
stays_within_its_memory() {
  local pressure state peak
  pressure=$(docker/pressure.py "${url#http://}") || fail "the server does not answer under pressure"
  state=$(docker inspect --format '{{.State.Status}} {{.State.OOMKilled}}' "$container")
  [[ "$state" == "running false" ]] || fail "found the container $state, expected it to run and never to have been out of memory"
  # Old kernels do not say.
  peak=$(docker exec "$container" sh -c 'cat /sys/fs/cgroup/memory.peak || cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes' 2>/dev/null) || true
  said="$pressure${peak:+; at most $((peak / 1000000)) MB of $memory were used}"
}

stops_on_sigterm() {
  local begun exit_code took_ms
  begun=$(date +%s%3N)
  docker stop --time "$grace_s" "$container" >/dev/null
  took_ms=$(($(date +%s%3N) - begun))
  exit_code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
  ((exit_code == 0)) || fail "found exit code $exit_code, expected 0"
  ((took_ms < grace_s * 1000)) || fail "stopping took $took_ms ms, expected less than the grace period of $grace_s s"
  said="exit code 0 after $took_ms ms"
}

# Posts a body to a path and leaves the response in $answers/body.
ask() {
  local status
  status=$(curl --silent --show-error --no-buffer --max-time 30 --output "$answers/body" --write-out '%{http_code}' \
    --header 'Content-Type: application/json' --data "$2" "$url$1") || fail "no response from $1"
  [[ "$status" == 200 ]] || fail "found status $status from $1, expected 200: $(head -c 500 "$answers/body")"
}

# Runs one check and prints its result.
step() {
  said=
  "$1"
  printf 'ok    %-24s %s\n' "${1//_/ }" "$said"
}

fail() {
  printf 'FAIL  %-24s %s\n' "${FUNCNAME[1]//_/ }" "$1" >&2
  if [[ -n "$container" ]]; then
    echo "--- the container's log ---" >&2
    docker logs --tail 50 "$container" >&2
  fi
  exit 1
}

clean_up() {
  rm -rf "$answers"
  if [[ -n "$container" ]]; then
    docker rm --force --volumes "$container" >/dev/null
  fi
}

main "$@"
