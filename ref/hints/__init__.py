"""What executions of climate-ref's diagnostics need: a table of hints, and who gave each number."""
