"""The flows: planning, the lifecycle of executions, and reports, as Prefect flows and tasks."""
