"""Programs that make the docs. Nothing that ships imports them."""
