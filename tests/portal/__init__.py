"""What the tests of the portal share: an API to try its page with, and the checks of accessibility."""
