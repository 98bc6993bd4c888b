"""What the functions know of subscribers: the operator's own users, and the endpoints where they take events."""
