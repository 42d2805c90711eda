#!/bin/sh
# Runs once, in the primary's container, when its database is made (docker-entrypoint-initdb.d): lets replicas in.
set -eu

psql --set=ON_ERROR_STOP=1 --set=password="$REPLICATION_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'password';
SQL
echo "host replication replication all scram-sha-256" >>"$PGDATA/pg_hba.conf"
