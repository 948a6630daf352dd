"""TFLite files: LiteRT sessions, operators, cost, the model card, released models and the
registry of precisions. Not how files are exported or what their embeddings decide.
"""
