"""The map of a configuration: sources, routes, steps and destinations as one picture, left to right.

routing.py  reads the compiled slices, and chooses and groups the routes; the states and traffic that the page adds
picture.py  makes the boxes and lines with their texts and positions
svg.py      writes the picture as SVG, by the template map.svg.j2

All of them are pure. `hookchain map` and the page draw the same picture.
"""
