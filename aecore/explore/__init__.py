"""Looking into a trained model: maps, traversals, generated images, exports.

Pictures leave as uint8, (N, H, W) for grey and (N, H, W, 3) for colour; floats as float32 (N, C, H, W) in [0, 1].
Everything is deterministic given its `seed`, and leaves the model as it was.
"""
