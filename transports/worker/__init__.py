"""The worker that every backend calls: one supervisor per execution, one child that runs the diagnostic."""
