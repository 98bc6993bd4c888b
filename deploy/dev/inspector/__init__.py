"""The page beside `hookchain dev` and its JSON interface; `hookchain inspect` serves it over a cloud's journal.

server.py          serves the page: its files and routes
page_access.py     the page's token or password
live_updates.py    what an open page is sent whenever it changes: documents, and the list of events
api.py             the ports behind it (Backend), and how requests are parsed and answered
records_api.py     events, dead letters, destinations and subscribers, on every platform
sources_api.py     the health of the sources; map_api.py: the map with what happens now; both on every platform
charts_api.py      the plots of longer spans, from the file of the journal or from a cloud's metrics
caught_api.py      caught mails and rows; steps_api.py: what each step does to an event; beside `hookchain dev` only
app.py             the page beside `hookchain dev`; journal_upkeep.py keeps its journal complete
cloud_app.py       the page over a cloud
"""
