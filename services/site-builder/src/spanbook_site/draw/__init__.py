"""Drawings made at build time as SVG: the graph, the Gantt chart and small charts."""
