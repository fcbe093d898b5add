#!/bin/sh
# Brings the schemas of Temporal's two databases up to the server's version; again does no harm.
# Where the databases are, temporal-sql-tool reads from SQL_*.
set -eu
for database in temporal temporal_visibility; do
  directory=${database#temporal_}
  temporal-sql-tool --database "$database" setup-schema --version 0.0
  temporal-sql-tool --database "$database" update-schema --schema-dir "$SCHEMA_DIR/$directory/versioned"
done
