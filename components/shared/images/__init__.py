"""From an image's bytes to its pixels, by audience: graphs, the host, and the served model's public signature.

`decoding` is the one place where the project decodes images: the ingest, the extractor and the served model see the
same pixels. Grayscale and palettes become RGB, an alpha channel is dropped, 16 bits become 8, and the EXIF orientation
is ignored, as in TensorFlow. What TensorFlow does not decode, `conversion` does first.
"""
