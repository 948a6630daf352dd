"""Latency and throughput on this machine, and results that phones send. Not accuracy."""
