"""The DrasCLR encoder: one architecture, its weights, the graph that serves them, the bundle they travel in.

`architecture` names the layers; `weights` holds the numbers; `reference`, `network` and `graph` are three
forms of the same function (readable, trainable, served); `bundle` carries and `runtime` runs the served one.
"""
