"""A request or an event walked through the functions offline, and described in words.

offline            the ports that stand for a platform
receive_stage      receive's checks of a request
transform_stage    the routes of an event, and each step's changes
deliveries         what a delivery would send, to whom, and when
report             the result as text and as JSON
config_tests       the tests of a configuration, run the same way
reference          the steps and kinds that commands list
"""
