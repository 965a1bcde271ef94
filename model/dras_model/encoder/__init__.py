"""The DrasCLR encoder: network, weights, ONNX graph, bundle, runtime."""
