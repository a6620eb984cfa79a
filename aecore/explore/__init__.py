"""Looking into a trained model: maps, traversals, generated images, and more. Arrays in, arrays out.

Images for people are uint8, (N, H, W) for grey and (N, H, W, 3) for colour; images for models are float32 (N, C, H, W)
in [0, 1]. Everything is deterministic given its `seed`, and leaves the model as it was.
"""
