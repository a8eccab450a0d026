"""From images to the feature maps of a frozen backbone, each computed once and kept in the feature store."""
