"""Latency and throughput on this machine, and collection of latency results from phones."""
