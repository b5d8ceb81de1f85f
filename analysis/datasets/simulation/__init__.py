"""Simulated data sets: event generation with Pythia 8 and parametrised detector responses."""
