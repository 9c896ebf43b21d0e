"""The retry policy, which decides what follows a failure, and the rules that change it."""
