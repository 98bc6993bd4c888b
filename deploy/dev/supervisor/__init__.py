"""`hookchain dev` and `hookchain serve`, in the order of a start. Options.production says what differs.

setup.py         options, configuration and secrets
state_folder.py  the state folder: locked, private, without damaged files
processes.py     the processes to run, as data
supervisor.py    starts them, watches the files, reloads, and does the background work
runner.py        keeps one process running; reaper.py ends all of them if the supervisor is killed
output.py        shows, logs and journals what they print; banner.py is the text once all are up
"""
