"""The page beside `hookchain dev` and its JSON interface; `hookchain inspect` serves it over a cloud's journal.

server.py          serves the page: its token, its files, its live updates
api.py             the ports behind it (Backend), and how requests are parsed and answered
records_api.py     events, dead letters, destinations and subscribers, on every platform
caught_api.py      caught mails and rows; steps_api.py: what each step does to an event; beside `hookchain dev` only
app.py             the page beside `hookchain dev`; journal_upkeep.py keeps its journal complete
cloud_app.py       the page over a cloud
"""
