"""Thin routes: parse, call a part, answer."""
