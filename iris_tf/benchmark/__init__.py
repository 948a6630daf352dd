"""What a model costs: latency on this machine, in the schema that phones share."""
