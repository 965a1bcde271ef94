"""The ways in which one layer of the encoder can be written in ONNX, one module a way.

A form is a function that appends the nodes of one layer to a `Writer`; which layer takes which form is data, in
`graph`. All forms compute the same sums: BatchNorm is folded into experts and bias, W(loc) = Σ_e share_e W_e.
Which form is fastest where was measured: `docs/decisions/0009` and `0010`, `benchmarks/encoder.py`.
"""
