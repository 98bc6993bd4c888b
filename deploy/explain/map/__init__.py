"""The map of a configuration: sources, routes, steps and destinations as one picture, left to right.

parts.py    the sources, routes and destinations of compiled slices, chosen and grouped; their states and traffic
picture.py  makes the boxes and lines with their texts and positions
svg.py      writes the picture as SVG, by the template map.svg.j2

All of them are pure. `hookchain map` and the page draw the same picture.
"""
