"""Features and word ids -> a trained captioning transformer, exported as one SavedModel."""
