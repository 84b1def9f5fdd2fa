"""Embedding models of images, texts and sentences."""
