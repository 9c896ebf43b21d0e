"""What solves have left in the store, for people who look at it: overviews, values, and what providers can compute."""
