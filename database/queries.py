"""Loading of SQL statements from files: `sql/<name>.sql` beside the adapter that owns the tables."""

from importlib.resources import files


def load_query(package: str, name: str) -> str:
    """Read a statement of an adapter, such as `load_query("fund_platform.postgres", "post_credits")`."""
    return files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
