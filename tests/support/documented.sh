# The functions for the console blocks of the docs' pages. See documented.py.
set -eEuo pipefail
trap 'echo "exit code $? of: $BASH_COMMAND" >&2' ERR
trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT

# Run the checkout's Makefile in the test's own folder. The `.venv` there stays unchanged.
make() { command make --no-print-directory --file "$MAKEFILE" --old-file .venv/.ready "$@"; }

exits() {
    local wanted=$1 got=0
    shift
    "$@" || got=$?
    [ "$got" = "$wanted" ]
}

sql() {
    python -c 'import sys, psycopg; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])' \
        "$SETTLE_DATABASE_URL" "$1"
}

# Import orders that no batch has taken in yet. The first argument is their number.
setup_imported_orders() {
    settle sample sample.csv --orders "$@"
    settle import sample.csv
}

# Make the Order Center's record of an order unreadable for Python.
setup_unreadable_record() {
    sql "UPDATE order_center.orders SET after_sale_ends_at = '20000-01-01' WHERE order_id = '$1'"
}

# Make all batches closed long ago, with their results delivered.
setup_old_batches() {
    sql "UPDATE settlement.batches SET closed_at = closed_at - interval '500 days'; DELETE FROM settlement.outbox"
}

setup_newer_schema() {
    sql "INSERT INTO settlement._yoyo_migration (migration_hash, migration_id, applied_at_utc) VALUES ('new', '0010.what', now())"
}

# Make a closed batch of 3 orders whose credits the Fund Platform has lost.
setup_ledger_restored() {
    sql "TRUNCATE order_center.orders, order_center.unacknowledged_orders; $LOSE_LEDGER $LOSE_STORE"
    setup_imported_orders 3 --bad-rate 0
    settle run --wait --batch-id "$1"
    sql "$LOSE_LEDGER"
}

# Make a closed batch that the settlement store has lost, with 3 credited orders and a rejected one.
setup_store_restored() {
    sql "TRUNCATE order_center.orders, order_center.unacknowledged_orders; $LOSE_LEDGER $LOSE_STORE"
    setup_imported_orders 3 --bad-rate 0
    cp sample.csv lost.csv
    setup_imported_orders 1 --seed 2 --bad-rate 1
    tail -1 sample.csv >> lost.csv
    settle run --wait --batch-id "$1"
    sql "$LOSE_STORE"
}

LOSE_LEDGER="
SET session_replication_role = replica;
TRUNCATE fund_platform.credit_answers, fund_platform.journal_entries, fund_platform.postings;
UPDATE fund_platform.accounts SET balance_minor = 0;"
LOSE_STORE="
DO \$\$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(format('settlement.%I', tablename), ', ')
    FROM pg_tables WHERE schemaname = 'settlement' AND tablename NOT LIKE '%yoyo%'
); END \$\$;"
