"""`hookchain dev --platform aws`: the functions in Lambda's own runtime, and a local AWS.

local_aws.py     the process of the local AWS: ministack, with SES (ses.py) and SendGrid caught
function.py      the process of a function: its Function URL, its pollers and its sweep
poller.py        hands the messages of a queue to the function
environments.py  the execution environments of a function; runtime.py is the process in each
stack.py         the queues, tables, bucket and secrets of the deployment
"""
