"""Measures the files of a release side by side: size, memory, time and answers, each file in processes of its own."""
