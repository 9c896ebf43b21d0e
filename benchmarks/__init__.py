"""Programs that measure this project against others."""
