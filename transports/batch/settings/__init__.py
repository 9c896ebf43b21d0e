"""What a site profile says about batch jobs: sizes, limits, and how paths are quoted."""
