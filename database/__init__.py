"""PostgreSQL for the adapters: connection pools with their timeouts, migrations, and `.sql` files."""
