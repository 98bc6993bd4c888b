"""Recovery: events that a provider could not deliver while we were unreachable. Start with recovery.py.

Who lists them   The sweep, beside the rows that are due. `hookchain recover`, on an operator's machine.
Providers        Each provider has one entry (kind.py): the first requests, and a pure function that reads an answer. An
                 answer has missed events and leads to further requests.
Handover         Each event is published to a topic of its own as the request that the provider would have sent
                 (shared/recovered.py). receive takes it from the bus and makes all checks but those of the sender.
Identity         (a) GitHub: receive rewrites the body until the recorded signature verifies it. So the event has the id
                     and the hash of the original.
                 (b) Square, Stripe: the body has the same id, but other parts may differ. A recovered event never
                     conflicts on its payload hash (shared/ledger_rules.py): the first to come is delivered, and the
                     other one is finished.
                 (b) GitLab: an event has the original's headers, and so its id, but its body lacks email addresses.
                 (b) Airtable: the provider sends no events, only the news that there is one. So there is no original.
                 (c) A provider that offers neither has no entry.
Repeats          The source's record has the time up to which events are listed, and each listing overlaps the last one.
                 If a process dies, it may publish an event again, with the same id.

    kind.py          the types that a provider's module uses
    kinds.py         the entries, one module each
    listing.py       asks a provider for its missed events, page by page
    recovery.py      runs the listing of each source in turn, and publishes the events
"""
