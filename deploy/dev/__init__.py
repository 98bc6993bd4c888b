"""Everything that `hookchain dev` and `hookchain serve` run on this machine. Start with supervisor/start.py.

    supervisor/       settles the configuration, starts the processes, restarts and replaces them, prints what they say
    cloud_apis.py     the process of the emulated cloud: pubsub/, sendgrid.py, sheets.py; faults.py disturbs them
    caught.py         the mails (mail.py) and rows that the emulated services caught
    aws/              the same on Lambda's own runtime, with a local AWS
    inspector/        the page that shows what happens
    backup.py         a state folder as one file, and back
    local_server.py   the ports of all of them: who may connect, and which requests are rejected

An event goes from receive to the emulated bus, which pushes it to transform and its deliveries to notify.
"""
