"""Segmentation models for faces and people."""
