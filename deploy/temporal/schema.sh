#!/bin/sh
# Brings the schemas of Temporal's two databases up to the server's version; again does no harm.
set -eu
for database in temporal temporal_visibility; do
  case $database in
    temporal) directory=temporal ;;
    temporal_visibility) directory=visibility ;;
  esac
  sql() { temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" --db "$database" "$@"; }
  sql setup-schema --version 0.0
  sql update-schema --schema-dir "$SCHEMA_DIR/postgresql/v12/$directory/versioned"
done
