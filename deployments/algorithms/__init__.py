"""Image algorithms, one package per subject: pure functions over arrays and text that load no model."""
