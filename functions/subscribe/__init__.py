"""The API and the portal for the operator's own users. A request goes from top to bottom:

main.py, lambda_handler.py   the entry points of the platforms; wiring.py builds what they need
api.py                       answers and logs a request: route, caller, access, body
pages.py                     the portal, the catalogue and the OpenAPI document
routes.py, route.py          the table of routes; a route, a call and its access
handlers/                    one file for each subject; models/ has their requests and responses
endpoint.py                  an endpoint's rules, secrets and views; verification.py proves that it wants events
idempotency.py               requests with an Idempotency-Key
service.py                   settings, keys and ports; credentials.py: API keys and portal tokens
problems.py                  the errors of the API
"""
