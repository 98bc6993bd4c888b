"""Transform: an event in, the deliveries that its routes owe out.

main or lambda_handler → entry (answers and logs) → transform (one event: decide, publish, journal) → routes (which take
the event) → chain (its steps, one after the other) → steps. The routes, chains and steps of a configuration are read in
program; step is the interface of steps, and paths serves them. output verifies what a step returns, and copies protects
the event from an operator's own step. Loaded only where it is needed: answer_chain (a document by HTTP), hosts (systems
that steps ask), seen (sources with `silence`), verifying (settings with pydantic).
"""
