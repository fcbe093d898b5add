#!/bin/sh
# Migrate the schemas of Temporal's two databases to the server's version. Idempotent.
# temporal-sql-tool reads the address of the databases from SQL_*.
set -eu
for database in temporal temporal_visibility; do
  directory=${database#temporal_}
  temporal-sql-tool --database "$database" setup-schema --version 0.0
  temporal-sql-tool --database "$database" update-schema --schema-dir "$SCHEMA_DIR/$directory/versioned"
done
