"""What happens in which order, as Prefect flows and tasks."""
