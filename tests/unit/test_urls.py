"""A database URL that is shown never shows a password."""

import pytest

from database.urls import without_password

HIDDEN = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://settle:{HIDDEN}@db:5432/orders", "postgresql://settle@db:5432/orders"),
        (f"postgresql://:{HIDDEN}@db/orders", "postgresql://@db/orders"),
        ("postgresql://settle@db/orders", "postgresql://settle@db/orders"),
        ("postgresql://postgres@/postgres?host=/tmp/pg", "postgresql://postgres@/postgres?host=/tmp/pg"),
        (f"postgresql://db/orders?user=settle&password={HIDDEN}", "postgresql://db/orders?user=settle&password=…"),
        (
            f"postgresql://db/orders?password={HIDDEN}&sslmode=require",
            "postgresql://db/orders?password=…&sslmode=require",
        ),
        ("postgresql://db:5432/orders", "postgresql://db:5432/orders"),
    ],
)
def test_the_rest_of_the_url_stays(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "password",
    [HIDDEN, f"{HIDDEN}:{HIDDEN}", f"%40{HIDDEN}", f"{HIDDEN} {HIDDEN}", f"!{HIDDEN}$", f"{HIDDEN}@{HIDDEN}/{HIDDEN}"],
)
@pytest.mark.parametrize(
    "place",
    [
        "postgresql://settle:{}@db/orders",
        "postgres://u:{}@[::1]:5432/o?sslmode=require",
        "postgresql://db/orders?password={}",
        "postgresql://db/orders?user=settle&password={}&sslmode=require",
        "postgresql://db/orders?sslpassword={}",
    ],
)
def test_no_part_of_a_password_is_shown(place: str, password: str) -> None:
    assert HIDDEN not in without_password(place.format(password))
