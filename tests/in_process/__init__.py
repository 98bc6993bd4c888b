"""Hookchain's functions in the test's own process, over fakes."""
