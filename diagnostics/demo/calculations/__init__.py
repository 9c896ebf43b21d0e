"""What the diagnostics of the demo compute: pure functions of numpy arrays, which read and draw nothing."""
