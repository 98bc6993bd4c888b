"""The API and the portal for the operator's own users. A request goes from top to bottom:

main.py, lambda_handler.py   the entry points of the platforms; wiring.py builds what they need
api.py                       answers and logs a request: route, caller, access, body
pages.py                     the portal, the catalogue and the OpenAPI document
access.py                    who calls, and what a caller may do; credentials.py has API keys and portal tokens
routes.py, route.py          the table of routes and how one is found; a route, and a call of it
handlers/                    one file for each subject, with its requests and responses; models/ has those that
                             several files share
endpoint.py                  an endpoint's rules, secrets and views; verification.py proves that it wants events
idempotency.py               requests with an Idempotency-Key
service.py                   the parts that handlers need; settings.py reads the settings of the slice
problems.py                  the errors of the API
"""
