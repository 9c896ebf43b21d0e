"""Batch schedulers: their commands, what these print, and what a refusal means."""
