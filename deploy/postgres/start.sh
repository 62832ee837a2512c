#!/bin/sh
# Runs PostgreSQL for compose.yaml, and makes its database on the first start: as the user postgres throughout, without
# rights and on a read-only file system.
#
# All that an image has to have is PostgreSQL on the PATH and that user, whatever its number. Its own entry point is not
# used, as there are some that begin as root.
set -eu

PGDATA=/var/lib/postgresql/headrace
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.new" # a first start that was cut short
    initdb --pgdata "$PGDATA.new" --username headrace --pwfile /run/secrets/postgres_password \
        --auth-local trust --auth-host scram-sha-256 --encoding UTF8 --locale C.UTF-8
    echo 'host all all all scram-sha-256' >>"$PGDATA.new/pg_hba.conf"
    echo 'CREATE DATABASE headrace' | postgres --single -D "$PGDATA.new" postgres
    # A statement that fails does not fail the command.
    echo 'SELECT datname FROM pg_database' | postgres --single -D "$PGDATA.new" postgres | grep -q '"headrace"'
    mv "$PGDATA.new" "$PGDATA"
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories="$PGHOST"
