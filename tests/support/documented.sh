# What comes before the console blocks of a page of the docs: see documented.py.
set -eEuo pipefail
trap 'echo "exit code $? of: $BASH_COMMAND" >&2' ERR
trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT

# The `make` of the checkout, run in a folder of the test's own; `.venv` is there and is left as it is.
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

setup_worker() { settle worker 2> worker.log & }

# A closed batch of 2,000 orders, 40 of them rejected, and a worker.
setup_settled_batch() {
    settle sample orders.csv --orders 2000
    settle import orders.csv
    setup_worker
    settle run --wait --batch-id "$1"
}

# Orders that no batch has taken in yet, as many as the first argument says.
setup_imported_orders() {
    settle sample sample.csv --orders "$@"
    settle import sample.csv
}

# Make the Order Center's record of an order one that Python cannot read.
setup_unreadable_record() {
    sql "UPDATE order_center.orders SET after_sale_ends_at = '20000-01-01' WHERE order_id = '$1'"
}

setup_topics() { settle migrate; }

setup_intake() { settle intake 2> intake.log & }

# Of the 100 orders of wrong.csv, 10 should not be there, and others have another amount.
setup_wrong_import() {
    settle sample wrong.csv --orders 100 --bad-rate 0
    settle import wrong.csv
    awk -F, -v OFS=, 'NR > 40 && NR <= 91 { $3 += 100 } NR <= 91' wrong.csv > right.csv
    awk -F, -v OFS=, 'NR == 2 { $4 += 5 } NR <= 2' right.csv > correction.csv
}

# A batch that was closed long ago, its results delivered.
setup_old_batch() {
    setup_settled_batch "$1"
    sql "UPDATE settlement.batches SET closed_at = closed_at - interval '500 days'; DELETE FROM settlement.outbox"
}

setup_newer_schema() {
    sql "INSERT INTO settlement._yoyo_migration (migration_hash, migration_id, applied_at_utc) VALUES ('new', '0010.what', now())"
}

# A frozen batch whose workflow Temporal does not run, and a worker.
setup_batch_without_workflow() {
    setup_imported_orders 100
    settle run --batch-id "$1"
    temporal workflow terminate --workflow-id "$1" --address "$TEMPORAL_ADDRESS"
    setup_worker
}

# A closed batch of 3 orders, whose credits the Fund Platform has lost.
setup_ledger_restored() {
    sql "TRUNCATE order_center.orders, order_center.unacknowledged_orders; $LOSE_LEDGER $LOSE_STORE"
    setup_imported_orders 3 --bad-rate 0
    settle run --wait --batch-id "$1"
    sql "$LOSE_LEDGER"
}

# A closed batch of 4 orders, of which 3 were credited and one was rejected, that the settlement store has lost.
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
