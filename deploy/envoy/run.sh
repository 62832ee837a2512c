#!/usr/bin/env bash
# Runs Envoy in compose's containers. Told to stop, Envoy would cut what it has in the middle: here it first takes no more,
# says `connection: close` to those it answers, and has 30 s for the requests that are in flight.
set -euo pipefail
cd "$(dirname "$0")"

envoy --config-yaml "$(cat stats.yaml)" --log-level warning --disable-hot-restart \
    --drain-time-s 2 --drain-strategy immediate "$@" &
envoy=$!

in_flight() { # of clients and gateways: the question itself is a request too
    bash admin.sh GET '/stats?filter=downstream_rq_active' |
        grep -E '^http\.(clients|gateway)\.downstream_rq_active: [1-9]' >/dev/null
}

leave() {
    bash admin.sh POST '/drain_listeners?graceful' || true # it may not have begun
    sleep 3 # the port is closed after 2
    for _ in {1..30}; do
        in_flight || break
        sleep 1
    done
    kill "$envoy"
}

trap leave TERM
wait "$envoy" || wait "$envoy" # a signal ends the first
