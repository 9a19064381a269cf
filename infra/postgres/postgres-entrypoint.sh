#!/bin/bash
# Does for Debian's Postgres the little of the official image's entrypoint that docker-compose.yml relies on.
set -euo pipefail
data=/var/lib/postgresql/data
bin="$(dirname "$(ls /usr/lib/postgresql/*/bin/postgres | tail -1)")"
if [ ! -e "$data/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$data"
  password="$(mktemp)"
  printf '%s' "$POSTGRES_PASSWORD" > "$password"
  chown postgres "$password"
  setpriv --reuid postgres --regid postgres --init-groups \
    "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --auth=scram-sha-256 --pwfile="$password" --encoding=UTF8 --locale=C.UTF-8
  rm "$password"
  # The official image makes the database too; a single-user backend does it before the server takes connections.
  echo "create database \"$POSTGRES_DB\"" | setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" --single -D "$data" postgres
fi
shift
exec setpriv --reuid postgres --regid postgres --init-groups "$bin/postgres" -D "$data" -c unix_socket_directories= "$@"
