"""The workspace of a coordinator: its directories, their checks, and the ownership of the results directory."""
