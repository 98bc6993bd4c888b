"""The queries behind the small plots: counts and latencies over the last while."""

from typing import Final

# `:since` is where the window begins, `:width` a bucket's seconds. The newest 4,000 deliveries say how long one takes.
REQUESTS_SQL: Final = """
SELECT CAST((at - :since) / :width AS INTEGER), total(status < 400), total(status >= 400) FROM requests
WHERE at >= :since GROUP BY 1
"""
ATTEMPTS_SQL: Final = """
SELECT CAST((ended_at - :since) / :width AS INTEGER), total(outcome = 'delivered'), total(outcome <> 'delivered')
FROM attempts WHERE ended_at >= :since AND attempt_number > 0 GROUP BY 1
"""
LATENCIES_SQL: Final = """
SELECT CAST((ended_at - :since) / :width AS INTEGER), ended_at - received_at
FROM (SELECT event_id, ended_at FROM attempts WHERE ended_at >= :since AND outcome = 'delivered' AND attempt_number = 1
    ORDER BY ended_at DESC LIMIT 4000) JOIN events ON events.id = event_id
"""
