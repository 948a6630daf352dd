"""TFLite files: LiteRT sessions, operators, cost, the model card and the released models.
Not how files are exported or what their embeddings decide.
"""
