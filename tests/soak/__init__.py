"""Coordinators that are killed and disturbed: after each write (the crash matrix), and at random (the soak)."""
