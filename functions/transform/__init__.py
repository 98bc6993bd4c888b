"""Transform: an event in, the deliveries that its routes owe out.

main or lambda_handler → entry (answers and logs) → transform (one event: decide, publish, journal) → route_runs (the
routes that take the event, as routes decides) → chain (its steps, one after the other) → steps. program reads the
routes and chains of a configuration, and step_classes finds the steps. step is the interface of steps; they use paths
and documents. output verifies what a step returns. Loaded only where it is needed: answer_chain (a document by HTTP),
comparisons (why a condition is false) and expression_paths (what it reads), hosts (systems that steps ask), seen
(sources with `silence`), tap (copies for developers), verifying (settings with pydantic).
"""
