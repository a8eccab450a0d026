"""What several steps use: records, storage, images, features, models, ML Metadata, code identity, progress."""
