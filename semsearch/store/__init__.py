"""What PostgreSQL keeps: one file a table's duty, functions that take a connection first."""
