"""Conversion of published weight files into those that the engines open: bytes in, bytes out, no framework needed.

Imports happen inside `convert`, so that looking whether anything is missing costs no import of numpy or onnx.
"""

from __future__ import annotations

CONVERTERS = ("copy", "efficientnet_lite0", "efficientnet_lite0_head", "mtcnn_onet", "dlib_resnet", "fuse_prelu")


def convert(converter: str, data: bytes) -> bytes:
    """Convert the published file `data` by one of `CONVERTERS`.

    Raises `ValueError` when `data` is not what the converter reads.
    """
    if converter == "copy":
        return data
    if converter == "efficientnet_lite0":
        from deployments.weights.conversion.efficientnet import feature_network

        return feature_network(data)
    if converter == "efficientnet_lite0_head":
        from deployments.weights.conversion.efficientnet import classifier_head

        return classifier_head(data)
    if converter == "mtcnn_onet":
        from deployments.weights.conversion.mtcnn import output_network

        return output_network(data)
    if converter == "dlib_resnet":
        from deployments.weights.conversion.dlib_resnet import face_network

        return face_network(data)
    if converter == "fuse_prelu":
        from deployments.weights.conversion.tflite import fuse_prelu

        return fuse_prelu(data)
    raise ValueError(f"no converter is called {converter!r}; there are {', '.join(CONVERTERS)}")
