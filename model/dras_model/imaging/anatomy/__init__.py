"""The thorax as shape functions: what the phantom and the built-in atlas are drawn from."""
