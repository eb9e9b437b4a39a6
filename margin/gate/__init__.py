"""Baseline, verdict, JUnit."""
