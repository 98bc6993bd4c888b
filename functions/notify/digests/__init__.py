"""Deliveries that wait for each other: digests, bursts (`coalesce`) and quiet hours. Start with arrival.py.

settings.py     the settings, and what follows from them: the group of a delivery, and until when it waits
quiet_hours.py  the time of the day in which nothing is sent, and when it ends
arrival.py      a delivery comes: it waits in its group, or goes on
closing.py      the sweep closes a group whose time has come, and publishes one delivery for it
draft.py        the deliveries of one group, and the event that they become
record.py       the record of a group, which makes each digest be frozen once
digest.py       the data of a digest's event, and its sections
digest_text.py  the words of a digest
"""
