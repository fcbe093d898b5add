"""PostgreSQL for the adapters: connection pools with timeouts, migrations, and `.sql` files."""
