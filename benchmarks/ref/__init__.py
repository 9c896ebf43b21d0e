"""What an execution of climate-ref costs through this project, against climate-ref's own executors."""
