"""Sources of image backbones, a file each, chosen by `registry.source_of`."""
