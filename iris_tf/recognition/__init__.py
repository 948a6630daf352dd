"""From images to templates and decisions: the recogniser, embedding of folders, calibration to a
camera. Not how templates are compared.
"""
