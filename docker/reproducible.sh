#!/usr/bin/env bash
# Builds the program of the container image once more, dependencies and all, and compares its bytes with those in the image.
#
#   docker/reproducible.sh [IMAGE]
#
# Needs docker, and as long as the first build of the image.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-rnnlm-server}
docker build --quiet --target build --tag "$image-build" . >/dev/null
one=$(docker run --rm --entrypoint sha256sum "$image" /usr/local/bin/rnnlm-server)
other=$(docker run --rm --network none "$image-build" sh -c \
  'cargo clean --quiet && cargo build --quiet --offline --release --locked --features $FEATURES --bin rnnlm-server && sha256sum target/release/rnnlm-server')
if [[ "${one%% *}" != "${other%% *}" ]]; then
  echo "two builds differ: ${one%% *} in the image, ${other%% *} in the second" >&2
  exit 1
fi
echo "two builds have the same bytes: SHA-256 ${one%% *}"
