"""A request or an event walked through the functions offline, and described in words.

request_options        the request that the options describe
curl_line              the request that a line of curl describes
offline                the ports that stand for a platform, and the text of a step's fault
receive_stage          receive's checks of a request, and what is wrong with its credentials
transform_stage        the routes of an event, and each step's changes
deliveries             what a delivery would send, to whom, and when
rendering              a delivery's recipient, and the mail, request or row that it would be
fan_out                the subscribers and the endpoints that would get an event
map/                   the configuration as one picture
report                 the result as text and as JSON
config_tests           the tests of a configuration, run the same way
expectations           the deliveries of a test, compared with those that it expects
event_types            the events that go to subscribers, compared with their event types
differences            the differences of two values, as lines
reference              the steps and kinds that commands list
"""
