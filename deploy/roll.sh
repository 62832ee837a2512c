#!/usr/bin/env bash
# Replaces containers one by one by ones of the image as it is now, which compose does not:
#
#   deploy/roll.sh                  the workers, then the gateways
#   deploy/roll.sh gateway          the containers of these services: worker, worker-gpu, gateway
#
# A new one is started and waited for until it is healthy (a worker is when it has every version loaded), and until the
# Envoy before it has met it; then an old one is told to stop, which lets it finish what it has. So there is never one
# less than there were, and no request is lost. Compose's own variables (COMPOSE_PROJECT_NAME ...) say which project.
set -euo pipefail
cd "$(dirname "$0")"

containers() { docker compose ps --quiet "$1" | sort; }
health() { docker inspect --format '{{.State.Health.Status}}' "$1"; }

roll() { # roll SERVICE
    local old count before new container
    old=$(containers "$1")
    count=$(wc -w <<<"$old")
    [ "$count" -gt 0 ] || { echo "no $1 is running: docker compose up first" >&2; exit 1; }
    for container in $old; do
        before=$(containers "$1")
        docker compose up --detach --no-deps --no-recreate --scale "$1=$((count + 1))" "$1"
        new=$(comm -13 <(echo "$before") <(containers "$1"))
        for _ in $(seq "${ROLL_TIMEOUT_S:-300}"); do
            [ "$(health "$new")" != healthy ] || break
            sleep 1
        done
        if [ "$(health "$new")" != healthy ]; then
            docker logs --tail 20 "$new" >&2
            docker rm --force "$new" >/dev/null
            echo "the new $1 did not become healthy and was taken away; the others serve on" >&2
            exit 1
        fi
        sleep 3 # Envoy looks the name up every second, and asks who is new a second later
        docker stop "$container" >/dev/null
        docker rm "$container" >/dev/null
        echo "$1 ${container:0:12} was replaced by ${new:0:12}"
    done
}

[ $# -gt 0 ] || set -- worker gateway
for service in "$@"; do roll "$service"; done
