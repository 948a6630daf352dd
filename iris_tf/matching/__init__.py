"""How templates are compared: matcher, templates, galleries and calibrations. No images and no
networks.
"""
