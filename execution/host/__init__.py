"""What the worker and the coordinator ask the operating system of their own host."""
