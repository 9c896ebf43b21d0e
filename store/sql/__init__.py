"""Executions recorded in SQLite or PostgreSQL."""
