-- Create the table that holds the first good row of each order in an order file.
CREATE TABLE first_rows (
    order_id text PRIMARY KEY,
    line integer NOT NULL,
    digest blob NOT NULL
) WITHOUT ROWID
