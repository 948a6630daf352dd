"""HTML, plots, tables and the papers' tables, from figures that evaluation has computed."""
