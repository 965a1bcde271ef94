"""The vocabulary of a result: codes, scores, regions, quality numbers, provenance.

Pure pydantic, so that the SDK and the gateway can read a result without the imaging stack.
"""
