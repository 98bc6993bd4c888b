"""Recovery: events that a provider could not deliver while we were unreachable. Start with recovery.py.

Where      The sweep lists them, beside the rows that are due. `hookchain recover` lists them on an operator's machine.
Kinds      kind.py: each provider is one entry, its first requests and a pure function that reads an answer: into the
           events that were missed, and further requests.
Handover   shared/recovered.py: each is published to a topic of its own, as the request that the provider would have
           sent. receive takes it as a message of a bus, with all checks except those of the sender's request.
Identity   (a) GitHub: receive has the recorded signature verify the bytes. So the event has its original's id and hash.
           (b) Square, Stripe: the id is in the body, but the rest may differ. A recovered event never conflicts on its
           payload hash (shared/ledger_rules.py): whichever came first is delivered, and the other one is finished.
           (c) A provider with neither has no entry.
Repeats    A cursor and an overlap in a record of the source. A process that dies may publish an event again, which has
           the same id.

    kind.py          what a provider's entry has
    kinds.py         the entries, each of a module
    recovery.py      asks the providers, page by page, and publishes what they list
"""
