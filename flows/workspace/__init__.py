"""The workspace of a coordinator: its directories, and who may write in them."""
