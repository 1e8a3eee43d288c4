"""Convoy: trains the classic CNNs, exports them for phones and servers, and proves the files."""
