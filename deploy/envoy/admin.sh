#!/usr/bin/env bash
# Asks Envoy's admin interface, from within its container: `admin.sh GET /clusters` prints the answer, and fails unless it
# is 200. By hand, as Envoy's image has no HTTP client but bash.
set -euo pipefail

exec 3<>/dev/tcp/127.0.0.1/9901
printf '%s\r\n' "$1 $2 HTTP/1.1" 'host: envoy' 'content-length: 0' 'connection: close' '' >&3
read -r -u 3 _ status _
sed $'1,/^\r$/d' <&3
[ "$status" = 200 ]
