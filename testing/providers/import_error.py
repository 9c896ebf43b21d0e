"""A provider for tests whose import raises."""

raise RuntimeError("the licence server does not answer")
