#!/bin/sh
# Entry point of a replica's container: takes a copy of the primary at the first start, then runs as its standby.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "taking a copy of the primary"
    export PGPASSWORD="$REPLICATION_PASSWORD"
    # --write-recovery-conf makes it a standby and keeps the connection string, password included, in its own data.
    until pg_basebackup --host=primary --username=replication --pgdata="$PGDATA" --wal-method=stream \
        --checkpoint=fast --write-recovery-conf; do
        # Half a copy would keep the next attempt from starting.
        find "$PGDATA" -mindepth 1 -delete
        sleep 1
    done
    chmod 700 "$PGDATA"
fi
exec postgres -c hot_standby_feedback=on -c "cluster_name=$(hostname)"
