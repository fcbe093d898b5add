"""The three systems that take part in a settlement."""

from dataclasses import dataclass

from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from settlement_store.port import SettlementStore


@dataclass(frozen=True)
class Systems:
    """The ports of the three systems, for use cases that need several of them."""

    order_center: OrderCenter
    store: SettlementStore
    fund_platform: FundPlatform
