"""The revisions, named by the time they were written."""
