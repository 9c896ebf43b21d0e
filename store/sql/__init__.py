"""The SQL store: tables, transactions, the lease of its coordinator, and migrations."""
