"""What starts processes, servers and browsers for a test, and waits for them."""
