"""The person whom a destination's `to` names. Start with recipient.py.

recipient.py    finds the person for an event
people_list.py  reads the list of people, in the slice or at the URL that it names
people.py       a person, the names by which events identify them, and how an entry of the list is read
to_person.py    the setting `to` of kinds that can deliver to a person; only the configuration's tools load it
"""
