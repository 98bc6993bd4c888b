"""The emulated Pub/Sub, in the order of a message's path.

routes.py       the REST API: publish, pull, topics and subscriptions
resources.py    Google's JSON: names, settings and errors
messages.py     messages as they are published, pushed, pulled and dead-lettered
broker.py       stores a message and offers it to each subscription
store.py        bus.db
subscriber.py   delivers a subscription's messages by push or pull, and records the outcomes
push_tokens.py  the tokens that pushes carry
topology.py     the topics and subscriptions that `hookchain dev` creates over the REST API
"""
