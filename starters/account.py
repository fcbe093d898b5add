"""`settle account show | close | reopen ACCOUNT`: show and change accounts of the Fund Platform."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from fund_platform.port import FundPlatform
from runtime.adapters import open_fund_platform
from schemas.ledger import Account
from starters.console import JsonOption, load_ready_settings, out, print_json, require_id, run_command

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account id.", callback=require_id)]

app = typer.Typer(help="Show, close and reopen accounts of the embedded Fund Platform.", no_args_is_help=True)


@app.command()
def show(account_id: AccountArgument, *, as_json: JsonOption = False) -> None:
    """Show an account's currency, balance and state."""
    _print_account(_run(lambda fund_platform: fund_platform.accounts.fetch_account(account_id)), as_json=as_json)


@app.command()
def close(account_id: AccountArgument, *, as_json: JsonOption = False) -> None:
    """Close an account.

    A closed account takes no more credits. Closing it again changes nothing.
    """
    _print_account(_run(lambda fund_platform: fund_platform.accounts.close_account(account_id)), as_json=as_json)


@app.command()
def reopen(account_id: AccountArgument, *, as_json: JsonOption = False) -> None:
    """Reopen a closed account.

    Orders that were rejected while it was closed stay rejected until their batches are rerun.
    """
    _print_account(_run(lambda fund_platform: fund_platform.accounts.reopen_account(account_id)), as_json=as_json)


def _run(ask: Callable[[FundPlatform], Awaitable[Account]]) -> Account:
    async def ask_fund_platform() -> Account:
        settings = await load_ready_settings()
        async with open_fund_platform(settings) as fund_platform:
            return await ask(fund_platform)

    return run_command(ask_fund_platform())


def _print_account(account: Account, *, as_json: bool) -> None:
    if as_json:
        print_json(account)
        return
    state = "open" if account.closed_at is None else f"closed since {account.closed_at:%Y-%m-%d %H:%M:%S %Z}"
    out.print(
        f"Account {account.account_id}: {state}, balance {account.balance_minor:,} minor units of {account.currency}.",
        highlight=False,
        soft_wrap=True,
    )
