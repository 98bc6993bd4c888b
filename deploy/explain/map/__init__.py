"""The map of a configuration: sources, routes, steps and destinations as one picture, left to right.

routing.py  reads the compiled slices, and chooses and groups the routes
live.py     the states and the traffic that the page adds
boxes.py    the boxes and lines, with their texts
layout.py   computes the positions of the boxes and lines
svg.py      writes the picture as SVG

All of them are pure. `hookchain map` and the page draw the same picture.
"""
