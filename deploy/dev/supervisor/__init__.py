"""`hookchain dev` and `hookchain serve`, in the order of a start. Options.production says what differs.

options.py        the options
state_folder.py   the state folder: locked, private, and of one use
damaged_files.py  its files: damaged ones, and those of a newer version
setup.py          all settings of the processes, with the secrets
served_configuration.py  the configuration that is served, and its files
processes.py      the processes to run, as data
start.py          checks all this, then starts a supervisor and the background work: the sweep, the retention
supervisor.py     runs until a signal arrives, with the setup that is in use
children.py       starts, replaces and stops the processes
runner.py         keeps one process running; reaper.py ends all of them if the supervisor is killed
reloader.py       applies changes of the files while the processes run
output.py         shows, logs and journals what they print; banner.py is the text once all are up
"""
