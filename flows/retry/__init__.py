"""What becomes of a failure: the retry policy, and the rules that change it."""
