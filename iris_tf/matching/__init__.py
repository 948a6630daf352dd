"""How two templates compare: similarities, templates, galleries and calibrations. No images and
no networks.
"""
