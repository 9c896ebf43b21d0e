"""Suites that anybody's own recorder must pass; they need pytest (the extra `testing`)."""
