"""Headwater: from any source to a number people trust."""

__version__ = "0.1.0"
