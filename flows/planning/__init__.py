"""Planning: which executions a solve has to run."""
