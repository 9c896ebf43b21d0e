"""The lifecycle: takes executions through the seven phases."""
