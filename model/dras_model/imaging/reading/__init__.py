"""Untrusted bytes are parsed and decoded in a process of their own, which reads one study and ends.

Codecs abort and overrun on damaged streams, archives and deflated files grow without bound, and what a file
makes of a parser cannot be known. `parent` is what the pipeline calls; everything else runs beyond the line.
"""
