"""Charts as SVG: drawn by hand, because a page of twelve takes Matplotlib 2 to 7 s.

`svg.Drawing` collects elements, `axis.Axis` places values and labels ticks, `axes.Axes` draws
lines, bars, bands and images into a box, `pixels` encodes arrays as PNG, `colour_maps` has the
colours. Colours that mean something are given; all others are classes of `figure.css`, light and
dark.
"""
