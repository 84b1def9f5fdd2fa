from types import SimpleNamespace


def assess(image, w, h):
    m = float(image.mean()) / 255
    return SimpleNamespace(sharpness=0.5, exposure=m, score=m, issues=["dark"] if m < 0.1 else [])
