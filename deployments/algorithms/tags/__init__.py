"""Tags: ImageNet classes as everyday words, labels and queries as ImageNet classes."""
