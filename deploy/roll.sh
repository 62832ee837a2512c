#!/usr/bin/env bash
# Replaces the workers one by one by ones of the image as it is now, which compose does not: deploy/roll.sh
#
# A new one is started and waited for until it is healthy, which is when it has every version loaded; then an old one is
# told to stop, which lets it finish what it has. So there is never one less than there were, and no request is lost.
# Compose's own variables (COMPOSE_PROJECT_NAME ...) say which project.
set -euo pipefail
cd "$(dirname "$0")"

workers() { docker compose ps --quiet worker | sort; }
health() { docker inspect --format '{{.State.Health.Status}}' "$1"; }

old=$(workers)
count=$(wc -w <<<"$old")
[ "$count" -gt 0 ] || { echo "no worker is running: docker compose up first" >&2; exit 1; }
for container in $old; do
    before=$(workers)
    docker compose up --detach --no-deps --no-recreate --scale worker=$((count + 1)) worker
    new=$(comm -13 <(echo "$before") <(workers))
    for _ in $(seq "${ROLL_TIMEOUT_S:-300}"); do
        [ "$(health "$new")" != healthy ] || break
        sleep 1
    done
    if [ "$(health "$new")" != healthy ]; then
        docker logs --tail 20 "$new" >&2
        docker rm --force "$new" >/dev/null
        echo "the new worker did not become healthy and was taken away; the others serve on" >&2
        exit 1
    fi
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
    echo "${container:0:12} was replaced by ${new:0:12}"
done
