-- Keep a batch's report unless one is already kept.
INSERT INTO kept_reports (batch_no, report) VALUES ($1, $2) ON CONFLICT (batch_no) DO NOTHING
