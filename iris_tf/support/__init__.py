"""Domain-independent infrastructure: errors, atomic file writing, folder locks, progress, silenced
native libraries, parallel processes, clusters, the machine; nothing about irises or models.
"""
