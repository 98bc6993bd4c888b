"""The operator's file, from its text to one slice of JSON for each function.

    config_file     hookchain.yaml as it is written, with the line of each value, and its faults of syntax
    configuration   the model of the whole file; sections/ has the model, the checks and the compiling of each section
    model_faults    what is wrong, in an operator's words
    compiler        all faults, or the slices: read this first
    warnings        what is allowed and seldom meant
    platform_parts  the parts that only this machine, or only one cloud, can use
    databases, notify_destinations, kept_bodies  facts about compiled slices

checkout, configured, dotenv and running_dev say which file, environment and running `hookchain dev` a command uses;
local_ports says at which ports one runs. dotenv_warnings has the warnings of .env.
"""
