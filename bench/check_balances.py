"""Compute every account's balance from the order file alone and compare the ledger with it.

The script shares no code with Settle, so that it cannot repeat Settle's errors. It applies one rule: a completed order
is credited in full if its amount is positive, within its currency's limit and in its account's currency.

    python -m bench.check_balances FILE.csv DATABASE_URL
"""

import csv
import sys
from collections import defaultdict

import psycopg

LIMIT_MINOR = {
    "CNY": 5_000_000,
    "EUR": 1_000_000,
    "GBP": 1_000_000,
    "JPY": 1_000_000,
    "PTS": 1_000_000,
    "USD": 1_000_000,
}


def expected_balances(order_file: str) -> dict[str, int]:
    """Return the balances in minor units by account. An account has the currency of its first order in the file."""
    balances: defaultdict[str, int] = defaultdict(int)
    currencies: dict[str, str] = {}
    with open(order_file, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            account, currency = row["account_id"], row["currency"]
            due = int(row["paid_minor"]) - int(row["refunded_minor"])
            balances[account] += 0
            if currencies.setdefault(account, currency) != currency or row["status"] != "completed":
                continue
            if 0 < due <= LIMIT_MINOR[currency]:
                balances[account] += due
    return dict(balances)


def find_differences(order_file: str, database_url: str) -> list[str]:
    """Return a sentence for each account whose stored balance or sum of postings differs from the file's."""
    expected = expected_balances(order_file)
    with psycopg.connect(database_url) as connection:
        stored: dict[str, int] = dict(
            connection.execute("SELECT account_id, balance_minor FROM fund_platform.accounts").fetchall()
        )
        posted: dict[str, int] = dict(
            connection.execute(
                "SELECT account_id, sum(amount_minor)::bigint FROM fund_platform.postings"
                " WHERE idempotency_key IS NOT NULL GROUP BY account_id"
            ).fetchall()
        )
    return [
        f"account {account}: the file gives {expected.get(account)}, the balance is {stored.get(account)}, "
        f"the postings sum to {posted.get(account, 0)}"
        for account in sorted(expected.keys() | stored.keys() | posted.keys())
        if not expected.get(account) == stored.get(account) == posted.get(account, 0)
    ]


if __name__ == "__main__":
    differences = find_differences(*sys.argv[1:])
    print("\n".join(differences) or "every balance agrees with the order file")
    sys.exit(1 if differences else 0)
