"""The sections of the operator's file, each with its model, its faults and its part of the slices.

In the order of an event: source (auth, bus_source, catalogue, provider_settings, provider_api), route (own_files),
destination (kinds, people), alerts. Then subscribers, and cases, which are the tests of a configuration.
"""
