"""PBS: what a site profile says of it, its commands, what they print, and the codes by which it refuses a job."""
