#!/usr/bin/env bash
# Replaces containers one by one by ones of the image as it is now, which compose does not:
#
#   deploy/roll.sh                  the workers, then the gateways
#   deploy/roll.sh gateway          the containers of these services: worker, worker-gpu, gateway
#
# A new one is started and waited for until it says that it is ready (a worker is when it has every version loaded, a
# gateway when it has read the registry), and until the Envoy before it has found that too; then an old one is told to
# stop, which lets it finish what it has. So there is never one less than there were, and no request is lost. One that is
# not ready after ROLL_TIMEOUT_S, 300 unless said, is taken away again, and the old ones serve on. Compose's own variables
# (COMPOSE_PROJECT_NAME ...) say which project.
set -euo pipefail
cd "$(dirname "$0")"

READY='
import sys
from http.client import HTTPConnection
asked = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
asked.request("GET", "/v2/health/ready")
answer = asked.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
'

containers() { docker compose ps --quiet "$1" | sort; }

# Why a new container cannot take an old one's place yet. Nothing, once it can.
missing() { # missing CONTAINER PORT ENVOY
    local said address envoys envoy
    said=$(docker exec "$1" python -c "$READY" "$2" 2>&1 | tail -1) || { echo "it is not ready: $said"; return; }
    address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1")
    envoys=$(containers "$3") && [ -n "$envoys" ] || { echo "no $3 is running"; return; }
    for envoy in $envoys; do
        docker exec "$envoy" bash /etc/envoy/admin.sh GET /clusters |
            grep -F "::$address:$2::health_flags::healthy" >/dev/null || echo "the service $3 does not find it healthy"
    done
}

roll() { # roll SERVICE PORT ENVOY
    local old count before new container why deadline
    old=$(containers "$1")
    count=$(wc -w <<<"$old")
    [ "$count" -gt 0 ] || { echo "no $1 is running: docker compose up first" >&2; exit 1; }
    for container in $old; do
        before=$(containers "$1")
        docker compose up --detach --no-deps --no-recreate --scale "$1=$((count + 1))" "$1"
        new=$(comm -13 <(echo "$before") <(containers "$1"))
        deadline=$((SECONDS + ${ROLL_TIMEOUT_S:-300}))
        while why=$(missing "$new" "$2" "$3") && [ -n "$why" ]; do
            if [ "$SECONDS" -ge "$deadline" ]; then
                docker logs --tail 20 "$new" >&2
                docker stop "$new" >/dev/null
                docker rm "$new" >/dev/null
                echo "the new $1 was taken away, the others serve on: $why" >&2
                exit 1
            fi
            sleep 1
        done
        docker stop "$container" >/dev/null
        docker rm "$container" >/dev/null
        echo "$1 ${container:0:12} was replaced by ${new:0:12}"
    done
}

[ $# -gt 0 ] || set -- worker gateway
for service in "$@"; do
    case $service in
        gateway) roll gateway 8000 edge ;;
        worker | worker-gpu) roll "$service" 8001 envoy ;;
        *) echo "only gateway, worker and worker-gpu can be rolled, not $service" >&2; exit 1 ;;
    esac
done
