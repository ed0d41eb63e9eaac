"""A fitted model outside of its study: one folder without pickle, predictions, explanations, ONNX."""
