"""What every room needs and no domain knows: errors, atomic files, progress, quiet native
libraries, processes, clusters, the machine. Nothing about irises, datasets or models.
"""
