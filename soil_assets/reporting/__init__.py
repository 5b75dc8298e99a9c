"""Reports that people decide on: pages, plots and badges made from facts that other rooms computed.

Belongs here: turning plain data into Markdown, HTML, PNG and SVG, and the written rules that turn figures
into a recommendation. Does not belong here: computing the figures (``quality``, ``drift``, ``modeling``),
posting the result anywhere (``adapters``).
"""
