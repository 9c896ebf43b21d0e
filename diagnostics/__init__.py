"""What a provider declares: diagnostics, the data and the resources that they need, and their results."""
