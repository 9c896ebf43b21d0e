"""A pool of batch jobs: pure state machines that decide, and one thread that does what they say."""
