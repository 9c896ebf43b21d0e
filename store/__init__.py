"""What is recorded of every execution: models, migrations and one Store."""
