"""The captioning models, what they are built of, and how captions are decoded from them."""
