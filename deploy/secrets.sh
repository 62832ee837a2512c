#!/usr/bin/env bash
# Makes the secrets of compose.yaml that are not there yet, each a file of its own under deploy/secrets/.
#
# The folder is its owner's alone. The files in it can be read by all, as in a container another user reads them.
set -euo pipefail
cd "$(dirname "$0")"
umask 022
mkdir -p secrets
chmod 700 secrets

secret() { # secret NAME TEXT
    [ -s "secrets/$1" ] || printf %s "$2" >"secrets/$1"
}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

secret headrace_admin_token "$(random)"
secret grafana_password "$(random)"
secret postgres_password "$(random)"
secret valkey_password "$(random)"
secret headrace_database_url "postgresql://headrace:$(cat secrets/postgres_password)@postgres/headrace"
secret headrace_cache_redis_url "redis://:$(cat secrets/valkey_password)@valkey:6379/0"
secret headrace_cache_secret "$(random)" # what gateways sign the answers with that they keep in Valkey
