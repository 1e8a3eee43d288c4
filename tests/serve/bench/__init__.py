"""The service beside what a competent person would write or install instead: python -m tests.serve.bench."""
