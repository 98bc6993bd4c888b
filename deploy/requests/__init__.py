"""Requests to a source, made to try it: what it holds, how it is signed, and how it is sent.

sources         the sources of a configuration, as whoever sends to them needs them
sender_settings what to enter at a sender
samples         real requests of each provider
events          events that fit a source, its schema and the destinations that it reaches
signing         signatures and keys, right or broken on purpose
posting         a request sent, again while it is not confirmed
smoke_request   the signed request of a smoke test, and the recipients that it can reach
send_options    what the options of `hookchain send` say
command_lines   lines of curl and `hookchain send` to paste
snippet         a program that sends
"""
